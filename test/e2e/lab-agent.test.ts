// Whole labs with a real agent on each node: which pods reach each other, and what happens when peers leave, change or are invalid.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { answered, failed } from '../lab/matrix.ts';
import { subnetOf, waitForMesh } from '../lab/mesh.ts';
import { waitUntil } from '../lab/processes.ts';
import { dropLease, writeLease, writeLeaseText } from '../lab/support/leases.ts';
import { kernelStateOf, type VxlanState } from '../lab/support/vxlan-state.ts';

const LOOK_MS = 10_000;

async function becomes(node: LabNode, what: string, holds: (state: VxlanState) => boolean): Promise<void> {
  await waitUntil(async () => holds(await kernelStateOf(node)), LOOK_MS, `${what} on ${node.name}`);
}

/** Whether a route, neighbour, FDB entry or next hop still names one of these subnets or MACs. */
function mentions(state: VxlanState, ...words: string[]): boolean {
  const text = JSON.stringify(state);
  return words.some((word) => text.includes(word));
}

describe('three nodes with an agent each', () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await startLab({ nodes: 3 });
    for (const node of lab.nodes) for (let count = 0; count < 2; count += 1) await node.addPod();
  });
  afterAll(() => lab?.down());

  test('connect six pods: all 30 ordered pairs answer', async () => {
    const pairs = await lab.matrix();
    expect(pairs).toHaveLength(30);
    expect(failed(pairs)).toEqual([]);
  });

  test('connect nodes and pods both ways', async () => {
    for (const node of lab.nodes) expect(answered(await node.ping(lab.pods.map(({ ip }) => ip)))).toHaveLength(6);
    for (const pod of lab.pods) {
      expect(answered(await pod.ping(lab.nodes.map(({ address }) => address)))).toHaveLength(3);
    }
  });

  test('carry 1422 bytes unfragmented over a 1500-byte underlay and refuse 1423', async () => {
    const [from, to] = [lab.node('node-1').pod('pod-1-1'), lab.node('node-2').pod('pod-2-1')];
    expect(answered(await from.ping([to.ip], { dontFragment: true, payloadBytes: 1422 }))).toHaveLength(1);
    expect(await from.ping([to.ip], { dontFragment: true, payloadBytes: 1423 })).toEqual([
      { ip: to.ip, failure: 'message too long (EMSGSIZE)' },
    ]);
  });

  test('lose exactly the pairs of a peer that was removed while the agent was dead, and have them back when it is back', async () => {
    const [one, three] = [lab.node('node-1'), lab.node('node-3')];
    const mac = (await kernelStateOf(three)).mac;
    await one.agent.kill();
    expect(failed(await lab.matrix())).toEqual([]);
    await one.run(['bridge', 'fdb', 'delete', mac, 'dev', 'flannel.1', 'dst', three.address, 'self']);
    const lost = failed(await lab.matrix({ timeoutMs: 300 })).map(({ from, to }) => `${from} ${to}`);
    const between = one.pods.flatMap((a) => three.pods.flatMap((b) => [`${a.name} ${b.name}`, `${b.name} ${a.name}`]));
    expect(between).toHaveLength(8);
    expect(lost.toSorted()).toEqual(between.toSorted());
    await one.agent.start();
    await one.agent.ready();
    expect(failed(await lab.matrix())).toEqual([]);
  });

  test('keep forwarding while every agent is stopped', async () => {
    const ends = await Promise.all(lab.nodes.map((node) => node.agent.stop()));
    expect(ends.map(({ exitCode }) => exitCode)).toEqual([0, 0, 0]);
    expect(failed(await lab.matrix())).toEqual([]);
    for (const node of lab.nodes) await node.agent.start();
    for (const node of lab.nodes) await node.agent.ready();
    expect(failed(await lab.matrix())).toEqual([]);
  });

  test('come back after a reboot: same subnet, same MAC, pods reachable again', async () => {
    const node = lab.node('node-2');
    const before = { subnet: subnetOf(node), mac: (await kernelStateOf(node)).mac };
    await node.reboot();
    expect(subnetOf(node)).toBeUndefined();
    await node.agent.start();
    await node.agent.ready();
    await waitForMesh(lab.nodes);
    expect({ subnet: subnetOf(node), mac: (await kernelStateOf(node)).mac }).toEqual(before);
    await node.addPod();
    expect(failed(await lab.matrix())).toEqual([]);
  });

  test('remove a node that left while an agent was down', async () => {
    const [one, two] = [lab.node('node-1'), lab.node('node-2')];
    const gone = { subnet: subnetOf(lab.node('node-3')) ?? 'none', mac: (await kernelStateOf(lab.node('node-3'))).mac };
    const base = gone.subnet.replace('/24', '');
    for (const node of [one, two]) expect(mentions(await kernelStateOf(node), gone.mac)).toBe(true);
    await one.agent.stop();
    await lab.removeNode('node-3');
    dropLease(lab, 'node-3');
    await becomes(two, 'no trace of node-3', (state) => !mentions(state, gone.mac, base));
    expect(mentions(await kernelStateOf(one), gone.mac)).toBe(true);
    await one.agent.start();
    await one.agent.ready();
    expect(mentions(await kernelStateOf(one), gone.mac, base)).toBe(false);
    expect(failed(await lab.matrix())).toEqual([]);
  });
});

describe('an agent and its peers’ leases', () => {
  let lab: Lab;
  let node: LabNode;
  const ghost = { subnet: '10.244.200.0/24', publicIp: '192.168.50.99', mac: '02:00:00:00:0a:01' };
  const fdbOf = (state: VxlanState): string[] => state.fdb.map(({ mac, dst }) => `${mac} ${dst}`);

  beforeAll(async () => {
    // SubnetMax keeps the node's own subnet apart from those that the tests give to peers.
    const netConf = { Network: '10.244.0.0/16', SubnetMax: '10.244.50.0', Backend: { Type: 'vxlan' } };
    lab = await startLab({ nodes: 1, netConf });
    node = lab.node('node-1');
  });
  afterAll(() => lab?.down());

  test('D20: program a peer, follow its MAC and its public IP, and leave no old FDB entry', async () => {
    writeLease(lab, 'ghost', ghost);
    await becomes(node, 'the peer', (state) => fdbOf(state).includes(`${ghost.mac} ${ghost.publicIp}`));
    writeLease(lab, 'ghost', { ...ghost, mac: '02:00:00:00:0a:02' });
    await becomes(node, 'the new MAC', (state) => mentions(state, '02:00:00:00:0a:02') && !mentions(state, ghost.mac));
    expect(fdbOf(await kernelStateOf(node))).toEqual(['02:00:00:00:0a:02 192.168.50.99']);
    writeLease(lab, 'ghost', { ...ghost, mac: '02:00:00:00:0a:02', publicIp: '192.168.50.98' });
    await becomes(node, 'the new address', (state) => mentions(state, '192.168.50.98'));
    expect(fdbOf(await kernelStateOf(node))).toEqual(['02:00:00:00:0a:02 192.168.50.98']);
    dropLease(lab, 'ghost');
    await becomes(node, 'no peer', (state) => state.fdb.length + state.neighbours.length + state.routes.length === 0);
    expect((await kernelStateOf(node)).nexthops).toEqual([]);
  });

  test('D21: purge what an earlier agent left, with flannel’s route protocol too', async () => {
    await node.agent.stop();
    const batch = [
      'neigh replace 10.244.77.0 lladdr 02:00:00:00:0a:77 dev flannel.1 nud permanent',
      'route add 10.244.77.0/24 via 10.244.77.0 dev flannel.1 onlink',
    ];
    await node.run(['ip', '-batch', '-'], { input: `${batch.join('\n')}\n` });
    await node.run([
      'bridge',
      'fdb',
      'add',
      '02:00:00:00:0a:77',
      'dev',
      'flannel.1',
      'dst',
      '192.168.50.77',
      'self',
      'permanent',
    ]);
    expect(mentions(await kernelStateOf(node), '10.244.77.0')).toBe(true);
    await node.agent.start();
    await node.agent.ready();
    expect(mentions(await kernelStateOf(node), '10.244.77.0', '02:00:00:00:0a:77')).toBe(false);
  });

  test('D18: do not let one bad peer delay the others, name it, and take it once it is good', async () => {
    writeLease(lab, 'bad', { ...ghost, subnet: '10.244.201.0/24', mac: 'not a MAC' });
    writeLeaseText(lab, 'cut', '{"Subnet": "10.244.2');
    writeLease(lab, 'ghost', ghost);
    await becomes(node, 'the good peer', (state) => fdbOf(state).includes(`${ghost.mac} ${ghost.publicIp}`));
    const { status, body: shown } = await node.agent.http('/readyz?verbose');
    expect(status).toBe(200);
    expect(shown).toMatch(/bad/);
    expect(shown).toMatch(/cut/);
    expect(shown).toContain('flanneld is ready');
    expect(node.agent.log()).toMatch(/not a MAC/);
    writeLease(lab, 'bad', {
      ...ghost,
      subnet: '10.244.201.0/24',
      mac: '02:00:00:00:0a:c9',
      publicIp: '192.168.50.97',
    });
    await becomes(node, 'the repaired peer', (state) => mentions(state, '02:00:00:00:0a:c9'));
    for (const name of ['bad', 'cut', 'ghost']) dropLease(lab, name);
    await becomes(node, 'no peer', (state) => state.fdb.length === 0);
    expect((await node.agent.http('/readyz?verbose')).body).not.toMatch(/bad|cut/);
  });
});
