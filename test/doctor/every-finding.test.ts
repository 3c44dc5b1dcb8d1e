// Makes every problem of the tables in a lab: the doctor finds it, its fix ends it, and nothing is left.

import { afterAll, beforeAll, describe, test } from 'vitest';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { expectHealthy } from '../support/doctor.ts';
import { PROBLEMS } from './problems/all.ts';
import { seeProblem } from './scene.ts';

let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
  for (const each of lab.nodes) await each.addPod();
  node = lab.node('node-1');
});
afterAll(() => lab?.down());

test('the healthy lab has no error', async () => {
  for (const each of lab.nodes) await expectHealthy(each);
});

describe('the doctor finds a problem, and no longer after its fix', () => {
  test.for(PROBLEMS)('$id: $how', (problem) => seeProblem(node, problem));
});
