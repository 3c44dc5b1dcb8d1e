// A node with our agent and one that is programmed by hand in the way flannel programs the kernel (flannel's pkg/backend/vxlan). Both must
// have the same kernel state, and packets must pass in both directions.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { failed } from '../lab/matrix.ts';
import { waitUntil } from '../lab/processes.ts';
import { addPeerByHand, type HandMadeVtep, makeVtepByHand } from '../lab/support/by-hand.ts';
import { readLease, writeLease } from '../lab/support/leases.ts';
import { kernelStateOf } from '../lab/support/vxlan-state.ts';

let lab: Lab;
let ours: LabNode;
let hand: HandMadeVtep;

beforeAll(async () => {
  lab = await startLab({ nodes: 2, agent: { start: false } });
  ours = lab.node('node-1');
  hand = await makeVtepByHand(lab.node('node-2'));
  writeLease(lab, 'node-2', { subnet: '10.244.2.0/24', publicIp: hand.node.address, mac: hand.mac });
  await ours.agent.start();
  await ours.agent.ready();
  const { subnet, mac, publicIp } = readLease(lab, 'node-1');
  await addPeerByHand(hand.node, { subnet: subnet.replace('/24', ''), mac, publicIp });
});
afterAll(() => lab?.down());

test('the device has the attributes that flannel gives it', async () => {
  const [byAgent, byHand] = [await kernelStateOf(ours), await kernelStateOf(hand.node)];
  expect(byAgent.device).toEqual(byHand.device);
  expect(byAgent.device).toMatchObject({ id: 1, port: 8472, learning: false, mtu: 1450, txqlen: 0 });
  expect(byAgent.addresses).toEqual([readLease(lab, 'node-1').subnet.replace('/24', '/32')]);
});

test('the neighbour, the FDB entry and the route to the peer are those that flannel makes', async () => {
  const { neighbours, fdb, routes } = await kernelStateOf(ours);
  expect(neighbours).toEqual([{ ip: '10.244.2.0', mac: hand.mac, state: ['PERMANENT'] }]);
  expect(fdb).toEqual([{ mac: hand.mac, dst: hand.node.address, flags: ['self'], state: 'permanent' }]);
  expect(routes).toEqual([{ dst: '10.244.2.0/24', gateway: '10.244.2.0', flags: ['onlink'] }]);
});

test('pods of both nodes reach each other', async () => {
  for (const node of lab.nodes) await node.addPod();
  const pairs = await lab.matrix();
  expect(pairs).toHaveLength(2);
  expect(failed(pairs)).toEqual([]);
});

test('a peer whose MAC is changed by hand is repaired', async () => {
  await ours.run([
    'ip',
    'neigh',
    'replace',
    '10.244.2.0',
    'lladdr',
    '02:00:00:00:0b:ad',
    'dev',
    'flannel.1',
    'nud',
    'permanent',
  ]);
  const right = async (): Promise<boolean> =>
    (await kernelStateOf(ours)).neighbours.some(({ mac }) => mac === hand.mac);
  await waitUntil(right, 10_000, 'repair of the neighbour');
  expect(failed(await lab.matrix())).toEqual([]);
});
