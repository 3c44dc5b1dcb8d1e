// `npm run suite -- soak`: build, then the soak (test/faults/soak) on a lab of five nodes.
import { join } from 'node:path';
import { buildPrograms } from '../build.mjs';
import { bundleLab } from '../lab-bundle.mjs';
import { endInOrder } from '../owner.mjs';

export async function main(values) {
  await buildPrograms();
  const soak = await import(join(await bundleLab(), 'soak.mjs'));
  endInOrder(() => soak.endLabs());
  return await soak.main(values);
}
