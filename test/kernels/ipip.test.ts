// The ipip backend in a lab of three nodes: what it leaves in the kernel, advertises and repairs, with and without DirectRouting.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { LEASE_FOLDER, SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { answered, failed } from '../lab/matrix.ts';
import { subnetOf } from '../lab/mesh.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { dropLease, readLeaseText, writeLeaseText } from '../lab/support/leases.ts';
import { agentRoutes, becomesRouted } from '../lab/support/routes.ts';
import { allPodsReach, statusReport } from '../lab/support/status.ts';
import { needs } from '../support/needs.ts';
import { hasLinkKind } from './has-link-kind.ts';

const LOOK_MS = 20_000;
const hasIpip = hasLinkKind('ipip', 'local', '192.0.2.1');

beforeEach(() => needs.machine(hasIpip, 'IPIP in the kernel'));

const viaOf = (to: LabNode, device: string): string => {
  const onlink = device === 'eth0' ? '' : ' onlink';
  return `${subnetOf(to)} via ${to.address} dev ${device}${onlink}`;
};

describe('three nodes with IPIP', () => {
  let lab: Lab;
  let one: LabNode;
  let two: LabNode;
  let three: LabNode;
  beforeAll(async () => {
    if (!hasIpip) return;
    lab = await startLab({ nodes: 3, netConf: { Network: '10.244.0.0/16', Backend: { Type: 'ipip' } } });
    for (const node of lab.nodes) await node.addPod();
    [one, two, three] = [lab.node('node-1'), lab.node('node-2'), lab.node('node-3')];
  });
  afterAll(() => lab?.down());

  test('reach each other, with the MTU that is left', async () => {
    await allPodsReach(lab);
    expect(one.readFile(SUBNET_FILE)).toContain('FLANNEL_MTU=1480\n');
    const [from, to] = [one.pods[0], two.pods[0]];
    if (from === undefined || to === undefined) throw new Error('a pod is missing');
    expect(answered(await from.ping([to.ip], { dontFragment: true, payloadBytes: 1452 }))).toHaveLength(1);
  });

  test('leave in the kernel and in the lease what flannel leaves', async () => {
    const link = await one.run(['ip', '-d', 'link', 'show', 'flannel.ipip']);
    expect(link).toContain('<NOARP,UP,LOWER_UP> mtu 1480');
    expect(link).toContain(`ipip any remote any local ${one.address} ttl inherit nopmtudisc`);
    expect(await agentRoutes(one)).toEqual([viaOf(two, 'flannel.ipip'), viaOf(three, 'flannel.ipip')].sort());
    const { Subnet, ...lease } = JSON.parse(readLeaseText(lab, 'node-1')) as Record<string, unknown>;
    expect(Subnet).toBe(subnetOf(one));
    expect(lease).toEqual({ PublicIP: one.address, BackendType: 'ipip' });
    expect((await statusReport(one)).overlays).toMatchObject([
      { device: 'flannel.ipip', peers: { wanted: 2, programmed: 2 } },
    ]);
  });

  test('put back a route, the address, the source address and the device', async () => {
    await one.run(['ip', 'route', 'del', subnetOf(two) ?? '']);
    await allPodsReach(lab);
    await one.run(['ip', 'addr', 'flush', 'dev', 'flannel.ipip']);
    await allPodsReach(lab);
    await one.run(['ip', 'link', 'set', 'flannel.ipip', 'type', 'ipip', 'local', '192.0.2.7', 'nopmtudisc']);
    const hasLocal = async (): Promise<boolean> =>
      (await one.run(['ip', '-d', 'link', 'show', 'flannel.ipip'])).includes(`local ${one.address} `);
    await waitUntil(hasLocal, LOOK_MS, 'the source address');
    await one.run(['ip', 'link', 'del', 'flannel.ipip']);
    await allPodsReach(lab);
    await one.run(['ip', 'link', 'set', 'flannel.ipip', 'down']);
    await allPodsReach(lab);
  });

  test('remove the route of a peer that left while the agent was down', async () => {
    const subnet = '10.244.200.0/24';
    writeLeaseText(lab, 'ghost', JSON.stringify({ Subnet: subnet, PublicIP: '192.168.50.99', BackendType: 'ipip' }));
    await becomesRouted(one, 'the peer', (routes) => routes.some((route) => route.startsWith(subnet)));
    await one.agent.stop();
    expect(failed(await lab.matrix())).toEqual([]);
    dropLease(lab, 'ghost');
    await one.agent.start();
    await becomesRouted(one, 'no route to the peer', (routes) => routes.length === 2);
  });

  test('leave nothing after cleanup', async () => {
    await one.agent.stop();
    await one.exec([builtAgent, 'cleanup', `--subnet-file=${SUBNET_FILE}`, `--subnet-dir=${LEASE_FOLDER}`]);
    expect((await one.exec(['ip', 'link', 'show', 'flannel.ipip'])).exitCode).not.toBe(0);
    expect(await agentRoutes(one)).toEqual([]);
  });
});

describe('two nodes with IPIP and DirectRouting', () => {
  let lab: Lab;
  beforeAll(async () => {
    if (!hasIpip) return;
    const Backend = { Type: 'ipip', DirectRouting: true };
    lab = await startLab({ nodes: 2, netConf: { Network: '10.244.0.0/16', Backend } });
    for (const node of lab.nodes) await node.addPod();
  });
  afterAll(() => lab?.down());

  test('send directly to a peer on the link', async () => {
    await allPodsReach(lab);
    const [one, two] = [lab.node('node-1'), lab.node('node-2')];
    expect(await agentRoutes(one)).toEqual([viaOf(two, 'eth0')]);
    expect((await statusReport(one)).overlays).toMatchObject([{ peers: { programmed: 1, direct: 1 } }]);
  });
});
