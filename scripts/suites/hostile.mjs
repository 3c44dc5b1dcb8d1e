// `npm run suite -- hostile`: build, then hostile calls (test/cni/hostile) of the CNI executable.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildPrograms } from '../build.mjs';
import { bundleLab } from '../lab-bundle.mjs';

const repository = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export async function main(values) {
  await buildPrograms(['cni']);
  const hostile = await import(join(await bundleLab(), 'hostile.mjs'));
  return await hostile.main({ executable: join(repository, 'dist/cni/flannel'), ...values });
}
