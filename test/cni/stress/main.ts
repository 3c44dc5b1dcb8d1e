// Runs inside the sandbox: one part of the stress. Prints the report as JSON.
//   node main.mjs DIR oneAddress|churn COUNT SEED

import { join } from 'node:path';
import { Random } from '../../faults/soak/random.ts';
import { Churn } from './churn.ts';
import { stressOneAddress } from './one-address.ts';
import type { Place } from './plugin.ts';

const [, , dir = '', part = '', count = '0', seed = '0'] = process.argv;
const place: Place = { dir, bin: join(dir, 'bin') };
const report =
  part === 'churn'
    ? await new Churn(place, new Random(Number(seed))).run(Number(count))
    : await stressOneAddress(place, Number(count));
process.stdout.write(JSON.stringify(report));
