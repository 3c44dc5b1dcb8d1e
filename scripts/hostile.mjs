// `npm run test:hostile`: set-up, build, then hostile calls (test/hostile) of the CNI executable.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildPrograms } from './build.mjs';
import { bundleLab } from './lab-bundle.mjs';
import { setUp } from './setup.mjs';

const repository = dirname(dirname(fileURLToPath(import.meta.url)));

if (setUp()) {
  try {
    await buildPrograms(['cni']);
    const hostile = await import(join(await bundleLab(), 'hostile.mjs'));
    process.exitCode = await hostile.main(process.argv.slice(2), join(repository, 'dist/cni/flannel'));
  } catch (error) {
    process.stderr.write(`npm run test:hostile: ${error.message}\n`);
    process.exitCode = 1;
  }
} else {
  process.exitCode = 1;
}
