// The built `kubectl weft` in a cluster of 1000 nodes on a real kube-apiserver: it asks 32 at a time. Nodes that never answer only cost
// their own time and are named. One node is in the lab; the others give the same answer as that one.

import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { CommandResult } from '../../lab/command.ts';
import { builtAgent, requireBuilt } from '../../lab/programs.ts';
import { missingApiserver } from '../../support/kube-apiserver.ts';
import { needs } from '../../support/needs.ts';
import { PluginScene } from './plugin-scene.ts';

const NODES = 1000;
const START_MS = 300_000;
const AT_A_TIME = 40;
const ANSWER_MS = 20;
const FLAGS = ['--ip-masq'];
const hanging = ['far-13', 'far-500'];
const broken = 'far-7';

let scene: PluginScene;
let said: CommandResult | undefined;
let [running, most] = [0, 0];

async function answerFor(pod: string): Promise<CommandResult | undefined> {
  const name = pod.replace(/^weft-/, '');
  if (!name.startsWith('far-') || said === undefined) return undefined;
  running += 1;
  most = Math.max(most, running);
  // A node that hangs does so until the plugin gives up, long after the others have answered.
  await new Promise((resolve) => setTimeout(resolve, hanging.includes(name) ? 60_000 : ANSWER_MS).unref());
  running -= 1;
  return name === broken
    ? { ...said, exitCode: 1, stdout: '', stderr: 'flanneld: status: the agent is not running\n' }
    : said;
}

beforeAll(async () => {
  if (missingApiserver() !== undefined) return;
  scene = await PluginScene.start({ nodes: 1 }, answerFor);
  const names = Array.from({ length: NODES - 1 }, (_, at) => `far-${at + 1}`);
  const worker = async (): Promise<void> => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      await scene.addNodeObject(name, '192.0.2.1');
      await scene.addAgentPod(name, FLAGS);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
}, START_MS);
afterAll(() => scene?.stop());
beforeEach(() => needs.machine(missingApiserver() === undefined, missingApiserver() ?? ''));

test('1000 nodes are asked 32 at a time, and who does not answer is named', { timeout: START_MS }, async () => {
  said = await scene.lab.node('node-1').exec([requireBuilt(builtAgent), 'status', '--json']);
  expect(said.exitCode).toBe(0);
  const { exitCode, stdout, stderr } = await scene.weft(['status', '--json', '--timeout', '15']);
  process.stdout.write(`${stderr}at most ${most} at a time\n`);
  const { nodes } = JSON.parse(stdout) as { nodes: { node: string; value?: { version: string }; problem?: string }[] };
  expect(nodes).toHaveLength(NODES);
  const silent = nodes.flatMap(({ node, problem }) => (problem === undefined ? [] : [`${node}: ${problem}`]));
  expect(silent).toEqual([
    'far-7: flanneld status: status: the agent is not running',
    'far-13: kube: exec pod weft/weft-far-13: timeout (no answer came within 15 s)',
    'far-500: kube: exec pod weft/weft-far-500: timeout (no answer came within 15 s)',
  ]);
  expect(exitCode).toBe(1);
  expect(most).toBeLessThanOrEqual(32);
  expect(most).toBeGreaterThan(8);
  expect(stderr).not.toContain('Warning');
  expect(stderr).toMatch(/^\d+ of 1000 nodes/m);
});
