// The built `kubectl weft` on a real kube-apiserver and lab nodes with the built agent: what it reports about a healthy cluster, about one
// with a fault, and about nodes that do not answer.

import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { missingApiserver } from '../../support/kube-apiserver.ts';
import { needs } from '../../support/needs.ts';
import { PluginScene, podName } from './plugin-scene.ts';

const NODES = 3;

let scene: PluginScene;
beforeAll(async () => {
  if (missingApiserver() === undefined) scene = await PluginScene.start({ nodes: NODES });
}, 180_000);
afterAll(() => scene?.stop());
beforeEach(() => needs.machine(missingApiserver() === undefined, missingApiserver() ?? ''));

describe('kubectl weft status', () => {
  test('has a line for each node', async () => {
    const { exitCode, stdout } = await scene.weft(['status']);
    process.stdout.write(stdout);
    expect(exitCode).toBe(0);
    const lines = stdout.split('\n');
    expect(lines[0]).toMatch(/^NODE +VERSION +READY +PEERS +GUARD +PROBES +DRIFT$/);
    for (const { name, index } of scene.lab.nodes) {
      expect(lines[index]).toMatch(new RegExp(`^${name} +0\\.1\\.0\\+\\w+ +yes +2/2 +count `));
    }
    expect(stdout).toContain(`${NODES} of ${NODES} nodes ready`);
  });

  test('says of nodes that do not answer why, and of the others what they say', async () => {
    await scene.addNodeObject('plain', '10.9.9.9');
    onTestFinished(async () => {
      await scene.server.must({ method: 'DELETE', path: '/api/v1/nodes/plain' });
      await scene.setPodState(podName('node-2'), { running: {}, waiting: null });
    });
    await scene.setPodState(podName('node-2'), { running: null, waiting: { reason: 'CrashLoopBackOff' } });
    const { exitCode, stdout } = await scene.weft(['status']);
    process.stdout.write(stdout);
    expect(exitCode).toBe(1);
    expect(stdout).toContain('node-2: its agent does not run: CrashLoopBackOff\n');
    expect(stdout).toContain('plain: no agent of Weft\n');
    expect(stdout).toMatch(/^node-1 +\S+ +yes/m);
    expect(stdout).toContain('2 of 4 nodes ready, 2 did not answer');
  });
});

describe('kubectl weft doctor', () => {
  test('finds no error in a healthy cluster', async () => {
    const { exitCode, stdout } = await scene.weft(['doctor']);
    process.stdout.write(stdout);
    expect(stdout).toMatch(/^0 errors, \d+ warnings? on 3 nodes$/m);
    expect(exitCode).toBe(0);
  });
});
