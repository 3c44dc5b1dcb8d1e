// `npm run suite -- faults`: build, then the fault tests (test/faults) on a lab of two nodes.
import { join } from 'node:path';
import { buildPrograms } from '../build.mjs';
import { bundleLab } from '../lab-bundle.mjs';
import { endInOrder } from '../owner.mjs';

export async function main(values) {
  await buildPrograms();
  const faults = await import(join(await bundleLab(), 'faults.mjs'));
  endInOrder(() => faults.endLabs());
  return await faults.main(values);
}
