// `npm run test:faults`: set-up, build, then the fault tests (test/faults) on a lab of two nodes.
import { join } from 'node:path';
import { buildPrograms } from './build.mjs';
import { bundleLab } from './lab-bundle.mjs';
import { endInOrder } from './owner.mjs';
import { setUp } from './setup.mjs';

if (setUp()) {
  await buildPrograms();
  const faults = await import(join(await bundleLab(), 'faults.mjs'));
  endInOrder(() => faults.endLabs());
  try {
    process.exitCode = await faults.main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`npm run test:faults: ${error.message}\n`);
    process.exitCode = 1;
  }
} else {
  process.exitCode = 1;
}
