// `npm run test:soak`: set-up, build, then the soak (test/soak) on a lab of five nodes.
import { join } from 'node:path';
import { buildPrograms } from './build.mjs';
import { bundleLab } from './lab-bundle.mjs';
import { endInOrder } from './owner.mjs';
import { setUp } from './setup.mjs';

if (setUp()) {
  await buildPrograms();
  const soak = await import(join(await bundleLab(), 'soak.mjs'));
  endInOrder(() => soak.endLabs());
  try {
    process.exitCode = await soak.main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`npm run test:soak: ${error.message}\n`);
    process.exitCode = 1;
  }
} else {
  process.exitCode = 1;
}
