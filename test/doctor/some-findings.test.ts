// A few findings of the doctor on a lab. `npm run suite -- doctor` has every one.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { builtAgent } from '../lab/programs.ts';
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

test('a healthy node has no error, and the doctor says so in words', async () => {
  for (const each of lab.nodes) await expectHealthy(each);
  const { exitCode, stdout } = await node.exec([builtAgent, 'doctor']);
  expect(exitCode, stdout).toBe(0);
  expect(stdout).toMatch(/^node-1: nothing is wrong\n/);
});

test('a wrong command line ends with 2', async () => {
  const { exitCode, stderr } = await node.exec([builtAgent, 'doctor', '--jsn']);
  expect(exitCode).toBe(2);
  expect(stderr).toContain("unknown option '--jsn'");
});

describe('the doctor finds a problem, and no longer after its fix', () => {
  const ids = ['agent-not-running', 'agent-unresponsive', 'ip-forward-off', 'subnet-env-missing'];
  test.for(ids)('%s', async (id) => {
    const problem = PROBLEMS.find((one) => one.id === id);
    if (problem === undefined) throw new Error(`no problem ${id}`);
    await seeProblem(node, problem);
  });
});
