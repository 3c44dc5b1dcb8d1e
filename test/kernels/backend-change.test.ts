// The backend of a cluster changes from ipip to wireguard and back, node by node. Routes of the former backend are more specific than the
// one route of wireguard, so those that stay would lead packets past the encryption, or into a tunnel that nobody serves any more.

import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { NET_CONF_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { subnetOf } from '../lab/mesh.ts';
import { allPodsReach, statusReport } from '../lab/support/status.ts';
import { needs } from '../support/needs.ts';
import { hasLinkKind } from './has-link-kind.ts';

const NETWORK = '10.244.0.0/16';
const hasBoth = hasLinkKind('wireguard') && hasLinkKind('ipip', 'local', '192.0.2.1');

beforeEach(() => needs.machine(hasBoth, 'WireGuard and IPIP in the kernel'));

let lab: Lab;
let one: LabNode;
let two: LabNode;
beforeAll(async () => {
  if (!hasBoth) return;
  lab = await startLab({ nodes: 2, netConf: { Network: NETWORK, Backend: { Type: 'ipip' } } });
  for (const node of lab.nodes) await node.addPod();
  [one, two] = [lab.node('node-1'), lab.node('node-2')];
});
afterAll(() => lab?.down());

/** Starts all agents again with another backend. */
async function changeTo(Type: string): Promise<void> {
  for (const node of lab.nodes) {
    node.writeFile(NET_CONF_FILE, JSON.stringify({ Network: NETWORK, Backend: { Type } }));
    await node.agent.stop();
    await node.agent.start();
  }
  for (const node of lab.nodes) await node.agent.ready();
}

function podOf(node: LabNode): LabPod {
  const [pod] = node.pods;
  if (pod === undefined) throw new Error(`${node.name} has no pod`);
  return pod;
}

/** How many packets the node has sent by a device. */
async function sentBy(node: LabNode, device: string): Promise<number> {
  return Number(await node.run(['cat', `/sys/class/net/${device}/statistics/tx_packets`]));
}

/** The device by which the node forwards packets of its pod to the other node's. */
async function deviceTo(node: LabNode, peer: LabNode): Promise<string | undefined> {
  const route = ['ip', 'route', 'get', podOf(peer).ip, 'from', podOf(node).ip, 'iif', 'cni0'];
  return /dev (\S+)/.exec(await node.run(route))?.[1];
}

test('by ipip a packet crosses in clear', async () => {
  await allPodsReach(lab);
  expect([await deviceTo(one, two), await deviceTo(two, one)]).toEqual(['flannel.ipip', 'flannel.ipip']);
});

test('after the change to wireguard no packet takes ipip', async () => {
  await changeTo('wireguard');
  const before = await sentBy(one, 'flannel.ipip');
  await allPodsReach(lab);
  expect([await deviceTo(one, two), await deviceTo(two, one)]).toEqual(['flannel-wg', 'flannel-wg']);
  expect(await sentBy(one, 'flannel.ipip')).toBe(before);
  for (const node of lab.nodes) {
    expect(await node.run(['ip', 'route', 'show', 'dev', 'flannel.ipip'])).toBe('');
    expect((await statusReport(node)).ready).toBe(true);
  }
});

test('after the change back no packet takes wireguard', async () => {
  await changeTo('ipip');
  const before = await sentBy(one, 'flannel-wg');
  await allPodsReach(lab);
  expect([await deviceTo(one, two), await deviceTo(two, one)]).toEqual(['flannel.ipip', 'flannel.ipip']);
  expect(await sentBy(one, 'flannel-wg')).toBe(before);
  expect(await one.run(['ip', 'route', 'show', 'proto', '138', 'dev', 'flannel.ipip'])).toContain(subnetOf(two));
  for (const node of lab.nodes) {
    expect(await node.run(['ip', 'route', 'show', NETWORK, 'dev', 'flannel-wg'])).toBe('');
    expect((await statusReport(node)).ready).toBe(true);
  }
});
