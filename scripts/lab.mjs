// `npm run lab -- COMMAND`: works on a lab that `npm start -- --keep` left up (test/lab/cli).
import { join } from 'node:path';
import { bundleLab } from './lab-bundle.mjs';

export async function main(_values, words) {
  const lab = await import(join(await bundleLab(), 'cli.mjs'));
  return await lab.main(words);
}
