// A stranger writes leases into the store that claim another node's MAC, address or subnet. On every node, and through restarts, the node
// that was there first keeps them, and the stranger's lease is shown as the problem.

import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StatusReport } from '../../flanneld/health/status/report.ts';
import { SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { failed } from '../lab/matrix.ts';
import { waitForMesh } from '../lab/mesh.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { dropLease, readLease, type TestLease, writeLease } from '../lab/support/leases.ts';
import { fdbDestinationsOf } from '../lab/support/vxlan-state.ts';

const LOOK_MS = 20_000;
const netConf = { Network: '10.244.0.0/16', SubnetMax: '10.244.50.0', Backend: { Type: 'vxlan' } };

let lab: Lab;
let victim: LabNode;
let other: LabNode;

beforeAll(async () => {
  lab = await startLab({ nodes: 2, netConf });
  [victim, other] = [lab.node('node-1'), lab.node('node-2')];
  await waitForMesh(lab.nodes);
  for (const each of lab.nodes) await each.addPod();
});
afterAll(() => lab?.down());

async function problems(node: LabNode): Promise<Map<string, string>> {
  const argv = [process.execPath, builtAgent, 'status', '--json', `--subnet-file=${SUBNET_FILE}`];
  const report = JSON.parse((await node.exec(argv)).stdout) as StatusReport;
  return new Map(report.overlays.flatMap((overlay) => overlay.problems).map(({ key, reason }) => [key, reason]));
}

const strangers: readonly { name: string; lease: (of: TestLease) => TestLease; want: RegExp }[] = [
  {
    name: 'its VtepMAC at another address',
    lease: ({ mac }) => ({ subnet: '10.244.200.0/24', publicIp: '192.168.50.99', mac }),
    want: /^VtepMAC \S+ is also that of node-1$/,
  },
  {
    name: 'its subnet',
    lease: ({ subnet }) => ({ subnet, publicIp: '192.168.50.99', mac: '02:00:00:00:0a:01' }),
    want: /^subnet \S+ overlaps that of node-1$/,
  },
  {
    name: 'a part of its subnet',
    lease: ({ subnet }) => ({
      subnet: subnet.replace('/24', '/31'),
      publicIp: '192.168.50.99',
      mac: '02:00:00:00:0a:01',
    }),
    want: /^subnet \S+ has another length than SubnetLen, expected \/24$/,
  },
];

test.for(strangers)('a lease that claims a node’s $name replaces that node nowhere', async ({ lease, want }) => {
  const before = readLease(lab, 'node-1');
  writeLease(lab, 'aaa', lease(before));
  await waitUntil(async () => want.test((await problems(other)).get('aaa') ?? ''), LOOK_MS, String(want));
  expect(await fdbDestinationsOf(other)).toBe('192.168.50.11');
  for (const node of [victim, other]) {
    await node.agent.stop();
    await node.agent.start();
    await node.agent.ready();
  }
  expect(readLease(lab, 'node-1')).toEqual(before);
  await waitUntil(async () => want.test((await problems(other)).get('aaa') ?? ''), LOOK_MS, 'the same after a restart');
  expect(await fdbDestinationsOf(other)).toBe('192.168.50.11');
  expect(failed(await lab.matrix())).toEqual([]);
  dropLease(lab, 'aaa');
  await waitUntil(async () => (await problems(other)).size === 0, LOOK_MS, 'no problem');
});

test('where the other lease is the older one, the node that came later is left out (control)', async () => {
  const before = readLease(lab, 'node-1');
  writeLease(lab, 'aaa', { subnet: '10.244.200.0/24', publicIp: '192.168.50.99', mac: before.mac });
  await waitUntil(async () => (await problems(other)).has('aaa'), LOOK_MS, 'the stranger left out');
  // Without its mark and its lease file, node 1 counts as new in the store.
  const text = readFileSync(join(lab.leaseFolder, 'node-1.json'), 'utf8');
  rmSync(join(lab.leaseFolder, '.node-1.since'));
  rmSync(join(lab.leaseFolder, 'node-1.json'));
  await waitUntil(async () => (await problems(other)).has('node-1'), LOOK_MS, 'node 1 left out');
  expect(readFileSync(join(lab.leaseFolder, 'node-1.json'), 'utf8')).toBe(text);
});
