// The agent's VXLAN device: which existing devices it keeps, which it replaces, and how it repairs what somebody else changed, without an
// endless fight.

import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { subnetOf } from '../lab/mesh.ts';
import { waitUntil } from '../lab/processes.ts';
import { dropLease, writeLease } from '../lab/support/leases.ts';
import { kernelStateOf, type VxlanState } from '../lab/support/vxlan-state.ts';
import { slowed } from '../support/slowness.ts';

const LOOK_MS = 10_000;
const peer = { subnet: '10.244.200.0/24', publicIp: '192.168.50.99', mac: '02:00:00:00:0a:01' };

/** SubnetMax keeps the node's own subnet apart from those that the tests give to peers. */
const netConf = { Network: '10.244.0.0/16', SubnetMax: '10.244.50.0', Backend: { Type: 'vxlan' } };

let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  lab = await startLab({ nodes: 1, netConf, agent: { start: false } });
  node = lab.node('node-1');
  writeLease(lab, 'peer', peer);
});
afterAll(() => lab?.down());

async function ip(...words: string[]): Promise<string> {
  return await node.run(['ip', ...words.flatMap((word) => word.split(' '))]);
}

async function startAgent(): Promise<void> {
  await node.agent.start();
  await node.agent.ready();
}

async function indexOf(name: string): Promise<number> {
  const [link] = JSON.parse(await ip(`-j link show ${name}`)) as { ifindex: number }[];
  return link?.ifindex ?? 0;
}

/** The log lines with this message, after the first `from` characters of the log. */
function logged(message: string, from = 0): Record<string, unknown>[] {
  const lines = node.agent.log().slice(from).trim().split('\n');
  if (lines[0] === '') return [];
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter(({ msg }) => msg === message);
}

describe('an existing flannel.1', () => {
  const right = 'id 1 local ADDRESS dev eth0 dstport 8472 nolearning';
  beforeEach(async () => {
    if (!(await node.agent.state()).running) return;
    await node.agent.stop();
  });

  async function make(attributes: string, mtu = 1450): Promise<number> {
    await node.exec(['ip', 'link', 'del', 'flannel.1']);
    await ip(
      `link add flannel.1 txqueuelen 0 address 02:00:00:00:0f:0f mtu ${mtu} type vxlan ${attributes.replace('ADDRESS', node.address)}`,
    );
    await ip('link set flannel.1 up');
    return await indexOf('flannel.1');
  }

  test('is kept with its MAC when flannel could have made it, and that MAC is advertised', async () => {
    const index = await make(right);
    await startAgent();
    expect(await indexOf('flannel.1')).toBe(index);
    expect((await kernelStateOf(node)).mac).toBe('02:00:00:00:0f:0f');
    expect(node.readFile('/run/lab/leases/node-1.json')).toContain('02:00:00:00:0f:0f');
  });

  test('is kept and gets the MTU that the underlay allows', async () => {
    const index = await make(right, 1000);
    await startAgent();
    expect(await indexOf('flannel.1')).toBe(index);
    expect((await kernelStateOf(node)).device).toMatchObject({ mtu: 1450 });
  });

  test('gets back the MAC that peers know from the lease', async () => {
    await make(right);
    await ip('link set flannel.1 address 02:00:00:00:0e:0e');
    await startAgent();
    expect((await kernelStateOf(node)).mac).toBe('02:00:00:00:0f:0f');
    expect((await kernelStateOf(node)).neighbours).toHaveLength(1);
  });

  test.for([
    { name: 'learns', attributes: right.replace('nolearning', 'learning') },
    { name: 'has another VNI', attributes: right.replace('id 1', 'id 7') },
    { name: 'has another port', attributes: right.replace('8472', '4789') },
    { name: 'floods to a group', attributes: `${right} group 239.1.1.1` },
    { name: 'asks user space for MACs', attributes: `${right} l2miss l3miss` },
  ])('is made anew, with the reason in the log, when it $name', async ({ attributes }) => {
    const from = node.agent.log().length;
    const index = await make(attributes);
    await startAgent();
    expect(await indexOf('flannel.1')).not.toBe(index);
    const state = await kernelStateOf(node);
    expect(state.device).toMatchObject({ id: 1, port: 8472, learning: false });
    expect(state).toMatchObject({ mac: '02:00:00:00:0f:0f', fdb: [{ mac: peer.mac, dst: peer.publicIp }] });
    expect(logged('device set up', from)[0]).toMatchObject({ cmd: 'ip link del flannel.1', was: expect.any(String) });
  });

  test('is moved and keeps what it carries when only its local address differs', async () => {
    const from = node.agent.log().length;
    const index = await make(right.replace('ADDRESS', '192.168.50.200'));
    await startAgent();
    expect(await indexOf('flannel.1')).toBe(index);
    expect(JSON.parse(await ip('-j -d link show flannel.1'))).toMatchObject([
      { linkinfo: { info_data: { local: node.address, link: 'eth0' } } },
    ]);
    expect(logged('device set up', from)[0]).toMatchObject({
      cmd: `ip link set flannel.1 type vxlan id 1 local ${node.address} dev eth0`,
      was: 'has local address 192.168.50.200',
    });
  });

  test('loses foreign addresses of the network and keeps others', async () => {
    await make(right);
    await ip('addr add 10.244.77.0/32 dev flannel.1');
    await ip('addr add 172.30.0.1/32 dev flannel.1');
    await startAgent();
    const own = `${subnetOf(node)?.replace('/24', '')}/32`;
    expect([...(await kernelStateOf(node)).addresses].sort()).toEqual([own, '172.30.0.1/32'].sort());
    await ip('addr del 172.30.0.1/32 dev flannel.1');
  });
});

describe('a running agent', () => {
  let right: VxlanState;
  beforeAll(async () => {
    if (!(await node.agent.state()).running) await startAgent();
    right = await kernelStateOf(node);
  });

  test.for<{ name: string; harm: string[] }>([
    { name: 'the route', harm: ['ip route del 10.244.200.0/24'] },
    { name: 'the neighbour', harm: ['ip neigh del 10.244.200.0 dev flannel.1'] },
    { name: 'the FDB entry', harm: [`bridge fdb del ${peer.mac} dev flannel.1 self`] },
    { name: 'every nexthop', harm: ['ip nexthop flush proto 138'] },
    { name: 'the address', harm: ['ip addr flush dev flannel.1'] },
    { name: 'the device', harm: ['ip link del flannel.1'] },
    { name: 'that the device is up', harm: ['ip link set flannel.1 down'] },
    { name: 'the MAC', harm: ['ip link set flannel.1 address 02:00:00:00:0e:0e'] },
    { name: 'the MTU', harm: ['ip link set flannel.1 mtu 900'] },
    { name: 'the route’s gateway', harm: ['ip route replace 10.244.200.0/24 via 10.244.209.0 dev flannel.1 onlink'] },
    { name: 'the route, to another device', harm: ['ip route replace 10.244.200.0/24 via 192.168.50.1 dev eth0'] },
    {
      name: 'the FDB entry’s address',
      harm: [`bridge fdb replace ${peer.mac} dev flannel.1 dst 192.168.50.98 self permanent`],
    },
    { name: 'what must not be there', harm: ['ip route add 10.244.201.0/24 via 10.244.201.0 dev flannel.1 onlink'] },
    {
      name: 'everything at once',
      harm: ['ip neigh flush all', 'ip nexthop flush proto 138', `bridge fdb del ${peer.mac} dev flannel.1 self`],
    },
  ])('restores $name', async ({ harm }) => {
    for (const command of harm) await node.run(command.split(' '));
    await waitUntil(async () => same(await stateIfThere(), right), LOOK_MS, 'the state of before');
  });

  test('logs nothing when nothing happens', async () => {
    await waitUntil(async () => same(await stateIfThere(), right), LOOK_MS, 'a right state');
    const before = node.agent.log();
    // Makes events that do not concern the agent: a pod's device comes and goes.
    await ip('link add veth9 type veth peer name veth8');
    await ip('link del veth9');
    expect(node.agent.log()).toBe(before);
  });

  test('limits its repairs against a program that keeps rewriting a route, names the program’s route, and wins in the end', async () => {
    // A peer that nobody has interfered with yet.
    const rival = { subnet: '10.244.210.0/24', publicIp: '192.168.50.97', mac: '02:00:00:00:0a:97' };
    writeLease(lab, 'rival', rival);
    await waitUntil(async () => (await kernelStateOf(node)).routes.length === 2, LOOK_MS, 'the peer');
    const from = node.agent.log().length;
    const theirs = `route replace ${rival.subnet} via 192.168.50.1 dev eth0 proto 77`;
    const began = performance.now();
    for (let round = 0; round < 60; round++) {
      await ip(theirs);
      await sleep(25);
    }
    const foughtSec = (performance.now() - began) / 1000;
    // The agent makes five repairs at once, then one a second.
    const repairs = logged('peer repaired', from).filter(({ peer }) => peer === 'rival');
    expect(repairs.length).toBeLessThanOrEqual(6 + Math.ceil(foughtSec));
    const fight = logged('another program keeps changing this, it is repaired only once a second', from);
    expect(fight[0]).toMatchObject({ peer: 'rival', route: `${rival.subnet} via 192.168.50.1 dev eth0 proto 77` });
    await waitUntil(async () => (await kernelStateOf(node)).routes.length === 2, LOOK_MS, 'our route');
    dropLease(lab, 'rival');
    await waitUntil(async () => (await kernelStateOf(node)).routes.length === 1, LOOK_MS, 'its end');
  });

  test('keeps every object over a restart: a monitor sees none of ours deleted', async () => {
    await waitUntil(async () => same(await stateIfThere(), right), LOOK_MS, 'a right state');
    const seconds = String(slowed(3));
    const seen = node.exec(['timeout', seconds, 'ip', 'monitor', 'link', 'address', 'route', 'nexthop']);
    // Only on our device: the kernel also removes, from the underlay, the neighbour entry of a peer that does not exist here and was
    // probed.
    const neighs = node.exec(['timeout', seconds, 'ip', 'monitor', 'neigh', 'dev', 'flannel.1']);
    await node.agent.kill();
    await startAgent();
    await node.agent.stop();
    await startAgent();
    const events = [(await seen).stdout, (await neighs).stdout].join('\n');
    expect(events.split('\n').filter((line) => line.includes('Deleted'))).toEqual([]);
    expect(same(await stateIfThere(), right)).toBe(true);
  });

  async function stateIfThere(): Promise<VxlanState | undefined> {
    try {
      return await kernelStateOf(node);
    } catch {
      return undefined; // there is no device just now
    }
  }
});

function same(a: VxlanState | undefined, b: VxlanState): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
