// Defects of flannel whose absence can only be shown with a running agent. Tests for other defects are beside the code they concern.
// All are listed in test/DEFECTS.md.

import { existsSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { dropLease, readLease, type TestLease, writeLease } from '../lab/support/leases.ts';
import { kernelStateOf } from '../lab/support/vxlan-state.ts';

const LOOK_MS = 10_000;
/** A public address behind NAT, which the node itself does not have. */
const ADVERTISED = '203.0.113.7';

let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  const netConf = { Network: '10.244.0.0/16', SubnetMax: '10.244.50.0', Backend: { Type: 'vxlan' } };
  lab = await startLab({ nodes: 1, netConf, agent: { start: false, args: [`--public-ip=${ADVERTISED}`] } });
  node = lab.node('node-1');
});
afterAll(() => lab?.down());

function peerAt(third: number): TestLease {
  const hex = third.toString(16).padStart(2, '0');
  return { subnet: `10.244.${third}.0/24`, publicIp: `192.168.50.${third}`, mac: `02:00:00:00:0d:${hex}` };
}

async function hasRoute(third: number): Promise<boolean> {
  return (await node.run(['ip', 'route', 'show', 'exact', `10.244.${third}.0/24`])) !== '';
}

/** The status and body of a page on a port of the node. */
async function get(port: number, path: string): Promise<string> {
  const program = `fetch('http://127.0.0.1:${port}${path}').then(async (r) => console.log(r.status, await r.text()))`;
  return (await node.exec([process.execPath, '-e', `${program}.catch(() => console.log('nobody'))`])).stdout;
}

test('D2: the probes answer while the cluster state does not: alive and not ready', async () => {
  const port = 18_256;
  const flags = `--etcd-endpoints=http://127.0.0.1:9 --subnet-file=/run/other/subnet.env --healthz-port=${port}`;
  const ended = node.exec(['sh', '-c', `${builtAgent} ${flags} & echo $! >/run/other.pid; wait`], {
    timeoutMs: 20_000,
  });
  await waitUntil(async () => (await get(port, '/healthz')).startsWith('200 '), LOOK_MS, 'an answer');
  expect(await get(port, '/readyz')).toMatch(/^503 /);
  await node.run(['sh', '-c', 'kill $(cat /run/other.pid)']);
  await ended;
});

test('D3: ready means that all known peers are programmed', async () => {
  const peers = Array.from({ length: 40 }, (_, at) => 101 + at);
  for (const third of peers) writeLease(lab, `peer-${third}`, peerAt(third));
  await node.agent.start();
  await node.agent.ready();
  const lines = node.agent.log().trim().split('\n');
  const messages = lines.map((line) => String((JSON.parse(line) as { msg: string }).msg));
  const programmed = messages.findLastIndex((msg) => msg.includes('peer'));
  const [written, ready] = ['subnet.env written', 'ready'].map((msg) => messages.indexOf(msg));
  expect([programmed, written, ready]).toEqual([programmed, written, ready].toSorted((a = 0, b = 0) => a - b));
  expect(programmed).toBeGreaterThan(0);
  expect((await kernelStateOf(node)).routes).toHaveLength(peers.length);
  expect(existsSync(node.pathFromOutside(SUBNET_FILE))).toBe(true);
  for (const third of peers) dropLease(lab, `peer-${third}`);
});

test('D9: a peer that another program removed is put back without a change of its lease', async () => {
  writeLease(lab, 'peer', peerAt(200));
  await waitUntil(async () => (await kernelStateOf(node)).routes.length === 1, LOOK_MS, 'the peer alone');
  const before = await kernelStateOf(node);
  await node.run(['ip', 'neigh', 'flush', 'dev', 'flannel.1', 'nud', 'permanent']);
  await node.run(['bridge', 'fdb', 'del', peerAt(200).mac, 'dev', 'flannel.1', 'self']);
  await node.run(['ip', 'route', 'del', '10.244.200.0/24']);
  const isBack = async (): Promise<boolean> => JSON.stringify(await kernelStateOf(node)) === JSON.stringify(before);
  await waitUntil(isBack, LOOK_MS, 'the state of before');
});

test('D16: an advertised address that the node does not have is told to peers, and is not the source of tunnel packets', async () => {
  expect(readLease(lab, 'node-1').publicIp).toBe(ADVERTISED);
  expect(await node.run(['ip', '-d', 'link', 'show', 'flannel.1'])).toContain(`local ${node.address} dev eth0`);
});

test('D19: peers that the kernel refuses delay no other peer, and are programmed once the kernel accepts them', async () => {
  const refused = [201, 202, 203, 204, 205];
  // Makes the gateway of each of these subnets an address of the node itself.
  for (const third of refused) await node.run(['ip', 'address', 'add', `10.244.${third}.0/32`, 'dev', 'lo']);
  for (const third of refused) writeLease(lab, `peer-${third}`, peerAt(third));
  await waitUntil(() => /peer-205.*invalid gateway/.test(node.agent.log()), LOOK_MS, 'a refusal');
  writeLease(lab, 'peer-210', peerAt(210));
  await waitUntil(() => hasRoute(210), LOOK_MS, 'the good peer');
  for (const third of refused) expect(await hasRoute(third)).toBe(false);
  for (const third of refused) await node.run(['ip', 'address', 'del', `10.244.${third}.0/32`, 'dev', 'lo']);
  await waitUntil(async () => (await Promise.all(refused.map(hasRoute))).every(Boolean), 30_000, 'the refused peers');
});

test('D22: a device that was deleted comes back with its address and every peer', async () => {
  /** The kernel's state, sorted, because the kernel lists FDB entries in the order of their hashes. */
  const carried = async (): Promise<string> => {
    const { mac, addresses, neighbours, fdb, routes } = await kernelStateOf(node);
    return [mac, addresses, ...[...neighbours, ...fdb, ...routes].map((one) => JSON.stringify(one)).toSorted()].join(
      '\n',
    );
  };
  const before = await carried();
  expect(before.match(/"gateway"/g)?.length).toBeGreaterThan(1);
  await node.run(['ip', 'link', 'del', 'flannel.1']);
  await waitUntil(async () => (await carried().catch(() => '')) === before, LOOK_MS, 'the state of before');
});
