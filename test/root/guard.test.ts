// The guard counts and names senders that send to the tunnel's port without being a peer and, when configured, refuses them. Tested from
// the underlay, with forged addresses, and from pods. Each refusal has a control in which the guard only counts.

import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { GuardStatus, StatusReport } from '../../flanneld/health/status/report.ts';
import { LEASE_FOLDER } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { failed } from '../lab/matrix.ts';
import { waitForMesh } from '../lab/mesh.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { ipv4, sendForged, sendUdp, udp, vxlan } from '../support/tunnel-packets.ts';

const LOOK_MS = 10_000;
const STRANGER = '192.168.50.77';
const NAT = '192.168.50.88';
const PORT = 7777;
const strangersMac = '02:aa:aa:aa:aa:aa';

let lab: Lab;
let one: LabNode;
let two: LabNode;
let podOne: LabPod;
let podTwo: LabPod;

function first(node: LabNode): LabPod {
  const [pod] = node.pods;
  if (pod === undefined) throw new Error(`no pod on ${node.name}`);
  return pod;
}

/** Starts two nodes with a pod each, and adds addresses that belong to no peer. */
async function begin(args: readonly string[]): Promise<void> {
  await (lab as Lab | undefined)?.down();
  lab = await startLab({ nodes: 2, agent: { args } });
  [one, two] = [lab.node('node-1'), lab.node('node-2')];
  await waitForMesh(lab.nodes);
  for (const node of lab.nodes) await node.addPod();
  [podOne, podTwo] = [first(one), first(two)];
  // Two addresses of the second node that are not published: a stranger's, and the one into which a NAT would translate its own.
  for (const address of [STRANGER, NAT]) await two.run(['ip', 'address', 'add', `${address}/24`, 'dev', 'eth0']);
}

beforeAll(() => begin([]));
afterAll(() => lab?.down());

async function guardOf(node: LabNode): Promise<GuardStatus> {
  const report = JSON.parse(await node.run([builtAgent, 'status', '--json'])) as StatusReport;
  if (report.firewall?.guard === undefined) throw new Error('the report has no guard');
  return report.firewall.guard;
}

async function vtepMac(node: LabNode): Promise<string> {
  const [link] = JSON.parse(await node.run(['ip', '-j', 'link', 'show', 'flannel.1'])) as { address: string }[];
  return link?.address ?? '';
}

/** A packet to a pod, encapsulated for the tunnel. */
async function tunnelled(node: LabNode, pod: LabPod, text: string, from = strangersMac): Promise<Buffer> {
  const link = { from, to: await vtepMac(node) };
  return vxlan(ipv4(link, '10.244.99.9', pod.ip, 17, udp(PORT, Buffer.from(text))));
}

/** The datagrams that a pod receives on the port while `send` runs. The last one, `end`, comes from its own node. */
async function heard(pod: LabPod, node: LabNode, send: () => Promise<unknown>): Promise<string[]> {
  const listener = [
    'import socket',
    's = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)',
    `s.bind(('0.0.0.0', ${PORT}))`,
    's.settimeout(20)',
    'said = ""',
    'while said != "end":',
    '  said = s.recv(100).decode()',
    '  if said != "up": print(said)',
  ];
  const hears = pod.exec(['python3', '-c', listener.join('\n')], { timeoutMs: 25_000 });
  const tell = (text: string): Promise<unknown> =>
    node.run([
      'python3',
      '-c',
      `import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"${text}", ("${pod.ip}", ${PORT}))`,
    ]);
  const bound = async (): Promise<boolean> =>
    (await pod.exec(['cat', '/proc/self/net/udp'])).stdout.includes(`:${PORT.toString(16).toUpperCase()} `);
  await waitUntil(bound, LOOK_MS, 'the listener');
  await send();
  await tell('end');
  return (await hears).stdout.trim().split('\n').slice(0, -1);
}

describe('the set of peers', () => {
  const elements = async (set = 'peers4'): Promise<string[]> => {
    const listed = await one.run(['nft', '-j', 'list', 'set', 'inet', 'weft', set]);
    const { nftables } = JSON.parse(listed) as { nftables: { set?: { elem?: string[] } }[] };
    return nftables.flatMap(({ set: found }) => found?.elem ?? []).toSorted();
  };
  const lease = (ip: string): string =>
    JSON.stringify({
      Subnet: '10.244.200.0/24',
      PublicIP: ip,
      BackendType: 'vxlan',
      BackendData: { VNI: 1, VtepMAC: '02:00:00:00:02:00' },
      HostAddresses: ['172.16.0.200', 'fd00:50::200'],
    });
  const both = (): string[] => [one.address, two.address].toSorted();

  test('has the addresses of all nodes and follows the leases', async () => {
    expect(await elements()).toEqual(both());
    expect(readdirSync(one.pathFromOutside(LEASE_FOLDER)).length).toBeGreaterThan(1);
    one.writeFile(`${LEASE_FOLDER}/node-200.json`, lease('192.168.50.200'));
    await waitUntil(async () => (await elements()).length === 4, LOOK_MS, 'the new peer');
    expect(await elements()).toEqual([...both(), '172.16.0.200', '192.168.50.200'].toSorted());
    expect(await elements('peers6')).toEqual(['fd00:50::200']);
    one.writeFile(`${LEASE_FOLDER}/node-200.json`, lease('192.168.50.201'));
    await waitUntil(async () => (await elements()).includes('192.168.50.201'), LOOK_MS, 'its new address');
    expect(await elements()).not.toContain('192.168.50.200');
    await one.run(['rm', `${LEASE_FOLDER}/node-200.json`]);
    await waitUntil(async () => (await elements()).join() === both().join(), LOOK_MS, 'the peer gone');
    expect(await elements('peers6')).toEqual([]);
  });

  test.for([
    { name: 'a peer that was removed', harm: () => `delete element inet weft peers4 { ${two.address} }` },
    { name: 'a peer that was added', harm: () => 'add element inet weft peers4 { 192.0.2.66 }' },
    { name: 'all peers', harm: () => 'flush set inet weft peers4' },
    { name: 'the table', harm: () => 'delete table inet weft' },
    { name: 'the table for ARP', harm: () => 'delete table arp weft' },
    { name: 'a rule', harm: () => 'flush chain inet weft guard' },
    { name: 'everything', harm: () => 'flush ruleset' },
  ])('is put right, and so are the rules: $name', async ({ harm }) => {
    // The sets of strangers are left out: while the peers are not right, a probe of node-2 counts as a stranger's packet.
    const shown = async (): Promise<string> => {
      const lists = ['-t list table inet weft', '-t list table arp weft', 'list set inet weft peers4'].map(
        async (words) => (await one.exec(['nft', ...words.split(' ')])).stdout,
      );
      return (await Promise.all(lists)).join('\n').replace(/packets \d+ bytes \d+/g, '');
    };
    const before = await shown();
    expect(before).toContain('chain guard');
    await one.run(['nft', harm()]);
    await waitUntil(async () => (await shown()) === before, LOOK_MS, 'what was before');
  });
});

/** The addresses by which a pod on the first node reaches a tunnel's port, and the node whose port that is. */
const waysOfPods = [
  { name: 'to its own node, by the gateway’s address', to: () => podOne.ip.replace(/\d+$/, '1'), on: 1 },
  { name: 'to its own node, by the underlay’s', to: () => one.address, on: 1 },
  { name: 'to another node, where it would be masqueraded', to: () => two.address, on: 2 },
  { name: 'to another node’s VTEP, through the tunnel', to: () => podTwo.ip.replace(/\d+$/, '0'), on: 2 },
  { name: 'to another node’s gateway, through the tunnel', to: () => podTwo.ip.replace(/\d+$/, '1'), on: 2 },
];

describe('where it counts, which is the default', () => {
  test('it names a stranger, lets the packet through, and says that enforcing would cut off nobody', async () => {
    const packet = await tunnelled(one, podOne, 'hello');
    expect(await heard(podOne, one, () => two.run(sendUdp(STRANGER, one.address, packet, 3)))).toEqual([
      'hello',
      'hello',
      'hello',
    ]);
    const guard = await guardOf(one);
    expect(guard).toMatchObject({ mode: 'count', packets: { strangers: 3 }, isFull: false, wouldCut: [] });
    expect(guard.strangers).toEqual([{ address: STRANGER, packets: 3, since: expect.stringMatching(/^20/) }]);
    const agoMs = Date.now() - Date.parse(guard.strangers[0]?.since ?? '');
    expect(Math.abs(agoMs)).toBeLessThan(600_000);
  });

  test('it names a peer that sends from another address, and says that enforcing would cut it off', async () => {
    const packet = await tunnelled(one, podOne, 'nat', await vtepMac(two));
    await two.run(sendUdp(NAT, one.address, packet));
    const guard = await guardOf(one);
    const named = guard.strangers.find(({ address }) => address === NAT);
    expect(named).toMatchObject({
      packets: 1,
      peer: { key: expect.stringContaining('node-2'), publishes: two.address },
    });
    expect(guard.wouldCut).toEqual([named?.peer?.key]);
    const text = await one.run([builtAgent, 'status']);
    expect(text).toContain(`  ! ${NAT}: 1 packets since`);
    expect(text).toMatch(/^guard +count: .*; enforce would cut off .*node-2/m);
  });

  test('it ignores packets of another network', async () => {
    const before = (await guardOf(one)).packets.strangers;
    const link = { from: strangersMac, to: strangersMac };
    const other = vxlan(ipv4(link, '10.0.0.1', '10.0.0.2', 17, udp(PORT, Buffer.from('x'))), 7);
    await two.run(sendUdp(STRANGER, one.address, other));
    expect((await guardOf(one)).packets.strangers).toBe(before);
    // A packet that is not VXLAN has no VNI, so the guard counts it.
    await two.run(sendUdp(STRANGER, one.address, Buffer.from('junk')));
    expect((await guardOf(one)).packets.strangers).toBe(before + 1);
  });

  test('it counts a pod’s packets and lets them through', async () => {
    for (const { to, on } of waysOfPods) {
      const [node, pod] = on === 1 ? [one, podOne] : [two, podTwo];
      const counts = async (): Promise<number> =>
        (await guardOf(one)).packets.pods + (on === 2 ? (await guardOf(two)).packets.pods : 0);
      const before = await counts();
      const packet = await tunnelled(node, pod, 'inside');
      expect(await heard(pod, node, () => podOne.exec(sendUdp(podOne.ip, to(), packet)))).toEqual(['inside']);
      expect(await counts()).toBe(before + 1);
    }
    expect((await guardOf(two)).strangers).toEqual([]);
  });

  test('it counts a pod’s packet as the pod’s, although the packet has a peer’s address as its source', async () => {
    const before = (await guardOf(one)).packets.pods;
    const packet = await tunnelled(one, podOne, 'forged');
    const send = (): Promise<unknown> => podOne.exec(sendForged([two.address], podOne.ip.replace(/\d+$/, '1'), packet));
    expect(await heard(podOne, one, send)).toEqual(['forged']);
    expect((await guardOf(one)).packets.pods).toBe(before + 1);
  });
});

describe('a flood of forged sources', () => {
  test('makes at most 64 strangers and no line of log', async () => {
    const lines = (): number => one.agent.log().split('\n').length;
    const [before, linesBefore] = [(await guardOf(one)).packets.strangers, lines()];
    const froms = Array.from({ length: 500 }, (_, at) => `198.18.${at >> 8}.${at & 255}`);
    await two.run(sendForged(froms, one.address, await tunnelled(one, podOne, 'forged')));
    const guard = await guardOf(one);
    expect(guard.packets.strangers).toBe(before + 500);
    expect(guard.strangers).toHaveLength(64);
    expect(guard.isFull).toBe(true);
    expect(guard).not.toHaveProperty('wouldCut');
    expect(await one.run([builtAgent, 'status'])).toContain('which peers enforce would cut off is not known');
    expect(lines()).toBe(linesBefore);
    const { body } = await one.agent.http('/metrics');
    expect(body).toContain(`flannel_guard_packets_total{from="strangers"} ${before + 500}\n`);
    expect(body).not.toContain('198.18');
  });
});

describe('where it enforces', () => {
  beforeAll(() => begin(['--guard=enforce']));

  test('peers and their pods reach each other', async () => {
    expect(failed(await lab.matrix())).toEqual([]);
    expect((await guardOf(one)).mode).toBe('enforce');
  });

  test('a stranger’s packet is dropped at the node', async () => {
    const packet = await tunnelled(one, podOne, 'hello');
    const before = (await guardOf(one)).packets.strangers;
    expect(await heard(podOne, one, () => two.run(sendUdp(STRANGER, one.address, packet)))).toEqual([]);
    expect((await guardOf(one)).packets.strangers).toBe(before + 1);
    // Control: the same packet from the peer's own address arrives.
    expect(await heard(podOne, one, () => two.run(sendUdp(two.address, one.address, packet)))).toEqual(['hello']);
  });

  test.for(waysOfPods)('a pod’s packet $name is dropped', async ({ to, on }) => {
    const [node, pod] = on === 1 ? [one, podOne] : [two, podTwo];
    const packet = await tunnelled(node, pod, 'inside');
    expect(await heard(pod, node, () => podOne.exec(sendUdp(podOne.ip, to(), packet)))).toEqual([]);
    // It is refused although it has a peer's address as its source.
    expect(await heard(pod, node, () => podOne.exec(sendForged([two.address], to(), packet)))).toEqual([]);
  });
});

describe('when it is switched off', () => {
  test('the rules of the guard are gone, and those that protect the node stay', async () => {
    await begin(['--guard=off']);
    const table = await one.run(['nft', 'list', 'table', 'inet', 'weft']);
    expect(table).not.toContain('8472');
    expect(table).not.toContain('peers4');
    expect(table).toContain('chain from_tunnel');
    expect((await guardOf(one)).mode).toBe('off');
  });

  test('cleanup removes both tables', async () => {
    await one.agent.stop();
    const said = await one.run([builtAgent, 'cleanup']);
    expect(said).toContain('  table inet weft\n');
    expect(said).toContain('  table arp weft\n');
    expect(await one.run(['nft', 'list', 'tables'])).not.toContain(' weft\n');
  });
});
