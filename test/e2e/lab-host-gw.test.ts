// A whole lab without a tunnel: host-gw on three nodes, with peers that leave, faults, and routes that other programs made.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { countBothWays } from '../faults/probe/both-ways.ts';
import { SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { answered, failed } from '../lab/matrix.ts';
import { subnetOf } from '../lab/mesh.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { dropLease, readLeaseText, writeLease, writeLeaseText } from '../lab/support/leases.ts';
import { agentRoutes, becomesRouted } from '../lab/support/routes.ts';
import { statusReport } from '../lab/support/status.ts';

const LOOK_MS = 10_000;
/** A subnet that none of the lab's nodes gets. */
const ghost = '10.244.200.0/24';

const viaOf = (to: LabNode): string => `${subnetOf(to)} via ${to.address} dev eth0`;

async function problems(node: LabNode): Promise<string[]> {
  const { overlays } = await statusReport(node);
  return overlays.flatMap((overlay) => overlay.problems.map(({ key, reason }) => `${key}: ${reason}`));
}

function writeHostGwLease(lab: Lab, name: string, subnet: string, publicIp: string): void {
  writeLeaseText(lab, name, JSON.stringify({ Subnet: subnet, PublicIP: publicIp, BackendType: 'host-gw' }));
}

describe('three nodes with host-gw', () => {
  let lab: Lab;
  let one: LabNode;
  let two: LabNode;
  let three: LabNode;
  beforeAll(async () => {
    const netConf = { Network: '10.244.0.0/16', SubnetMax: '10.244.50.0', Backend: { Type: 'host-gw' } };
    lab = await startLab({ nodes: 3, netConf });
    for (const node of lab.nodes) await node.addPod();
    [one, two, three] = [lab.node('node-1'), lab.node('node-2'), lab.node('node-3')];
  });
  afterAll(() => lab?.down());

  test('route to each other without a device of their own, with the underlay’s MTU', async () => {
    expect(await agentRoutes(one)).toEqual([viaOf(two), viaOf(three)].sort());
    expect(await one.run(['ip', 'link', 'show', 'type', 'vxlan'])).toBe('');
    expect(one.readFile(SUBNET_FILE)).toContain('FLANNEL_MTU=1500\n');
    expect(failed(await lab.matrix())).toEqual([]);
    const [from, to] = [one.pods[0], two.pods[0]];
    if (from === undefined || to === undefined) throw new Error('a pod is missing');
    expect(answered(await from.ping([to.ip], { dontFragment: true, payloadBytes: 1472 }))).toHaveLength(1);
  });

  test('advertise the same as flannel', () => {
    const { Subnet, ...lease } = JSON.parse(readLeaseText(lab, 'node-1')) as Record<string, unknown>;
    expect(Subnet).toBe(subnetOf(one));
    expect(lease).toEqual({ PublicIP: one.address, BackendType: 'host-gw' });
  });

  test('report this in status and metrics', async () => {
    expect(await statusReport(one)).toMatchObject({
      backend: 'host-gw',
      ready: true,
      overlays: [{ mtu: 1500, peers: { wanted: 2, programmed: 2, failing: 0, direct: 2 }, problems: [] }],
    });
    const { body } = await one.agent.http('/metrics');
    expect(body).toContain('flannel_direct_peers{family="4"} 2\n');
    expect(body).toContain('flannel_mtu_bytes{family="4"} 1500\n');
  });

  test('put back a route that somebody removed or replaced, and note this as drift', async () => {
    const wanted = await agentRoutes(one);
    const subnet = subnetOf(two) ?? '';
    await one.run(['ip', 'route', 'del', subnet]);
    await becomesRouted(one, 'the removed route', (routes) => routes.join() === wanted.join());
    await one.run(['ip', 'route', 'replace', subnet, 'via', three.address, 'dev', 'eth0']);
    await becomesRouted(one, 'the replaced route', (routes) => routes.join() === wanted.join());
    const { drift } = await statusReport(one);
    expect(drift.entries.map(({ object, place, what, was }) => ({ object, place, what, was }))).toEqual([
      { object: 'route', place: 'eth0', what: 'node-2', was: 'missing' },
      { object: 'route', place: 'eth0', what: 'node-2', was: expect.stringContaining(`via ${three.address}`) },
    ]);
    expect(failed(await lab.matrix())).toEqual([]);
  });

  test('have every route again after the link was down', async () => {
    const wanted = await agentRoutes(one);
    await one.run(['ip', 'link', 'set', 'eth0', 'down']);
    expect(await agentRoutes(one)).toEqual([]);
    await one.run(['ip', 'link', 'set', 'eth0', 'up']);
    await becomesRouted(one, 'the routes', (routes) => routes.join() === wanted.join());
    await waitUntil(async () => failed(await lab.matrix()).length === 0, LOOK_MS, 'all pairs');
  });

  test('follow the MTU of the interface', async () => {
    const mtu = (bytes: number) =>
      waitUntil(() => one.readFile(SUBNET_FILE).includes(`FLANNEL_MTU=${bytes}\n`), LOOK_MS, `MTU ${bytes}`);
    await one.run(['ip', 'link', 'set', 'eth0', 'mtu', '1400']);
    await mtu(1400);
    await one.run(['ip', 'link', 'set', 'eth0', 'mtu', '1500']);
    await mtu(1500);
  });

  test('leave a foreign route to a peer’s subnet alone, name it, and use the place when it is free', async () => {
    await one.run(['ip', 'route', 'add', ghost, 'via', three.address, 'dev', 'eth0', 'proto', 'static']);
    writeHostGwLease(lab, 'ghost', ghost, two.address.replace(/\d+$/, '99'));
    const held = `another program has a route there: ${ghost} via ${three.address}`;
    await waitUntil(async () => (await problems(one)).join().includes(held), LOOK_MS, 'the problem');
    expect(await one.run(['ip', 'route', 'show', ghost])).toContain(`via ${three.address}`);
    expect((await agentRoutes(one)).length).toBe(2);
    await one.run(['ip', 'route', 'del', ghost]);
    await becomesRouted(one, 'the peer', (routes) => routes.some((route) => route.startsWith(ghost)));
    expect(await problems(one)).toEqual([]);
    dropLease(lab, 'ghost');
    await becomesRouted(one, 'no route to the peer', (routes) => routes.length === 2);
  });

  test('take over flannel’s own route, and remove it together with its peer', async () => {
    const gateway = two.address.replace(/\d+$/, '98');
    await one.run(['ip', 'route', 'add', ghost, 'via', gateway, 'dev', 'eth0']);
    writeHostGwLease(lab, 'ghost', ghost, gateway);
    await becomesRouted(one, 'ours', (routes) => routes.includes(`${ghost} via ${gateway} dev eth0`));
    dropLease(lab, 'ghost');
    await waitUntil(async () => (await one.run(['ip', 'route', 'show', ghost])) === '', LOOK_MS, 'no route');
  });

  test('name peers to which they cannot route, and try again when the way exists', async () => {
    writeLease(lab, 'vtep', { subnet: '10.244.201.0/24', publicIp: '192.168.50.97', mac: '02:00:00:00:0a:01' });
    writeHostGwLease(lab, 'far', ghost, '172.31.7.7');
    const wanted = ['far: rtnetlink: add route', 'vtep: backend type is "vxlan", not host-gw'];
    await waitUntil(
      async () => {
        const found = await problems(one);
        return wanted.every((text) => found.some((problem) => problem.startsWith(text)));
      },
      LOOK_MS,
      'both problems',
    );
    expect((await problems(one)).join()).toContain('Nexthop has invalid gateway');
    expect((await one.agent.http('/readyz')).status).toBe(200);
    await one.run(['ip', 'route', 'add', '172.31.7.0/24', 'dev', 'eth0']);
    await becomesRouted(one, 'the far peer', (routes) => routes.includes(`${ghost} via 172.31.7.7 dev eth0`));
    await one.run(['ip', 'route', 'del', '172.31.7.0/24']);
    for (const name of ['vtep', 'far']) dropLease(lab, name);
    await becomesRouted(one, 'two peers', (routes) => routes.length === 2);
    expect(await problems(one)).toEqual([]);
  });

  test('follow a node to another address', async () => {
    const [from, to] = [one.pods[0], two.pods[0]];
    if (from === undefined || to === undefined) throw new Error('a pod is missing');
    const wanted = await agentRoutes(one);
    await countBothWays('host-gw, address replaced', [from, to], async () => {
      await one.run(['ip', 'address', 'del', `${one.address}/24`, 'dev', 'eth0']);
      await one.run(['ip', 'address', 'add', '192.168.50.201/24', 'dev', 'eth0']);
      await becomesRouted(one, 'all peers again', (routes) => routes.join() === wanted.join());
      const moved = `${subnetOf(one)} via 192.168.50.201 dev eth0`;
      for (const peer of [two, three]) await becomesRouted(peer, 'the new address', (routes) => routes.includes(moved));
      await one.agent.ready();
    });
    expect(failed(await lab.matrix())).toEqual([]);
  });

  test('keep forwarding while every agent is stopped, and remove a node that left meanwhile', async () => {
    for (const node of lab.nodes) await node.agent.stop();
    expect(failed(await lab.matrix())).toEqual([]);
    const gone = viaOf(three);
    await lab.removeNode('node-3');
    dropLease(lab, 'node-3');
    expect(await agentRoutes(one)).toContain(gone);
    for (const node of [one, two]) await node.agent.start();
    for (const node of [one, two]) await node.agent.ready();
    expect(await agentRoutes(one)).toEqual([viaOf(two)]);
    expect(failed(await lab.matrix())).toEqual([]);
  });

  test('are cleaned up: the inventory lists the routes, and afterwards they are gone', async () => {
    await one.agent.stop();
    const argv = [process.execPath, builtAgent, 'cleanup', `--subnet-file=${SUBNET_FILE}`, '--subnet-dir=/nowhere'];
    const { stdout } = await one.exec(argv);
    expect(stdout).toContain(`route ${subnetOf(two)} via ${two.address}`);
    expect(await agentRoutes(one)).toEqual([]);
  });
});
