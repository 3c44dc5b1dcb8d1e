// A node reboots: its disk still has the conflist, but its kernel has no state. No pod may start on the node before it forwards, and
// nothing from before the reboot may cause trouble afterwards.

import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dataPlaneFaults, firewallFaults } from '../faults/node-check.ts';
import { CONFLIST_FOLDER } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { failed } from '../lab/matrix.ts';
import { waitForMesh } from '../lab/mesh.ts';
import { waitUntil } from '../lab/processes.ts';
import { readLease } from '../lab/support/leases.ts';

const CONFLIST = '10-flannel.conflist';

let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
  node = lab.node('node-2');
  await lab.node('node-1').addPod();
  for (let count = 0; count < 2; count += 1) await node.addPod();
});
afterAll(() => lab?.down());

function conflists(): string[] {
  return readdirSync(node.pathFromOutside(CONFLIST_FOLDER)).filter((name) => name.endsWith('.conflist'));
}

test('the conflist is set aside as long as the node does not forward, and pods work as soon as it is there', async () => {
  const before = { files: readdirSync(node.pathFromOutside(CONFLIST_FOLDER)), lease: readLease(lab, node.name) };
  expect(before.files).toContain(CONFLIST);
  await node.reboot();
  // An ADD before the agent is up fails with the real reason.
  await expect(node.addPod()).rejects.toThrow(/subnet\.env/);
  // Another device has the VNI, so the agent cannot forward, and ends.
  await node.run([
    'ip',
    'link',
    'add',
    'rival',
    'up',
    'type',
    'vxlan',
    'id',
    '1',
    'local',
    node.address,
    'dstport',
    '8472',
  ]);
  await node.agent.start();
  await waitUntil(async () => !(await node.agent.state()).running, 10_000, 'end of the agent');
  expect(node.agent.log()).toContain('in use by VXLAN device rival');
  expect(conflists()).toEqual([]);
  await expect(node.addPod()).rejects.toThrow();
  await node.run(['ip', 'link', 'del', 'rival']);
  await node.agent.start();
  await waitUntil(() => conflists().includes(CONFLIST), 10_000, 'conflist');
  // From this moment on, a pod on another node must answer.
  const pod = await node.addPod();
  expect(await pod.ping(lab.node('node-1').pods.map(({ ip }) => ip))).toMatchObject([{ rttMs: expect.any(Number) }]);
  await node.agent.ready();
  expect(readLease(lab, node.name)).toEqual(before.lease);
  expect(readdirSync(node.pathFromOutside(CONFLIST_FOLDER))).toEqual(before.files);
});

test('nothing from before the reboot is left on any node, and further pods reach all others', async () => {
  await node.addPod();
  await waitForMesh(lab.nodes);
  expect(failed(await lab.matrix())).toEqual([]);
  for (const one of lab.nodes) {
    expect([...(await dataPlaneFaults(lab, one)), ...(await firewallFaults(lab, one))]).toEqual([]);
  }
  const ips = lab.pods.map(({ ip }) => ip);
  expect(new Set(ips).size).toBe(ips.length);
});
