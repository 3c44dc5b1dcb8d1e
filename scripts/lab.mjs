// `npm run lab -- COMMAND`: works on a lab that `npm start -- --keep` left up (test/lab/cli).
import { join } from 'node:path';
import { bundleLab } from './lab-bundle.mjs';
import { setUp } from './setup.mjs';

if (setUp()) {
  const { main } = await import(join(await bundleLab(), 'cli.mjs'));
  process.exitCode = await main(process.argv.slice(2));
} else {
  process.exitCode = 1;
}
