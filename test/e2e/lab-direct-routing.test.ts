// vxlan with DirectRouting in both families, with two nodes on one link and one behind a router: by which path each node is reached,
// how many packets a change of the path costs, and what is repaired.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startFlow } from '../faults/probe/flow.ts';
import type { FlowResult } from '../faults/probe/spec.ts';
import { NET_CONF_FILE, SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { failed } from '../lab/matrix.ts';
import { subnetOf } from '../lab/mesh.ts';
import { waitUntil } from '../lab/processes.ts';
import { dropLease } from '../lab/support/leases.ts';
import { giveIpv6, putBehindRouter } from '../lab/support/router.ts';
import { agentRoutes, becomesRouted } from '../lab/support/routes.ts';
import { statusReport } from '../lab/support/status.ts';

const LOOK_MS = 10_000;
const families = [4, 6] as const;
const netConf = {
  EnableIPv6: true,
  Network: '10.244.0.0/16',
  IPv6Network: 'fd00:10:244::/48',
  Backend: { Type: 'vxlan', DirectRouting: true },
};

let lab: Lab;
let one: LabNode;
let two: LabNode;
let three: LabNode;

/** The first address of the node's subnet. */
function base(node: LabNode, family: 4 | 6): string {
  if (family === 4) return subnetOf(node)?.replace('/24', '') ?? 'none';
  return /^FLANNEL_IPV6_SUBNET=(.*)::1\/64$/m.exec(node.readFile(SUBNET_FILE))?.[1]?.concat('::') ?? 'none';
}

function addressOf(node: LabNode, family: 4 | 6): string {
  return family === 4 ? node.address : `fd00:50::${node.address.split('.')[3]}`;
}

const bits = { 4: 24, 6: 64 } as const;
const device = { 4: 'flannel.1', 6: 'flannel-v6.1' } as const;

function direct(to: LabNode, family: 4 | 6): string {
  return `${base(to, family)}/${bits[family]} via ${addressOf(to, family)} dev eth0`;
}

function tunnelled(to: LabNode, family: 4 | 6): RegExp {
  return new RegExp(`^${base(to, family)}/${bits[family]} via ${base(to, family)} dev ${device[family]}`);
}

async function routeTo(from: LabNode, to: LabNode, family: 4 | 6): Promise<string> {
  const routes = await agentRoutes(from, family);
  return routes.find((route) => route.startsWith(`${base(to, family)}/`)) ?? 'none';
}

function podOf(node: LabNode): LabPod {
  const [pod] = node.pods;
  if (pod === undefined) throw new Error(`no pod on ${node.name}`);
  return pod;
}

const ipOf = (pod: LabPod, family: 4 | 6): string => pod.ips.find((ip) => ip.includes(':') === (family === 6)) ?? '';

/** A flow of one family from node 1's pod to another node's pod. */
function flowTo(to: LabNode, family: 4 | 6) {
  const end = (node: LabNode) => ({ netnsFromOutside: podOf(node).netnsFromOutside, ip: ipOf(podOf(node), family) });
  return startFlow(end(one), end(to));
}

function printLosses(what: string, { sent, lostAtMost, longestLossMs }: FlowResult): void {
  process.stdout.write(`${what}: ${lostAtMost} of ${sent} packets lost, longest ${longestLossMs} ms\n`);
}

/** Waits until all pods reach each other. The first packet to a node behind the router waits for three neighbour look-ups. */
function allPairs(): Promise<void> {
  return waitUntil(async () => failed(await lab.matrix()).length === 0, LOOK_MS, 'all pairs');
}

beforeAll(async () => {
  lab = await startLab({ nodes: 3, netConf, agent: { start: false } });
  [one, two, three] = [lab.node('node-1'), lab.node('node-2'), lab.node('node-3')];
  for (const node of [one, two]) await giveIpv6(node);
  await putBehindRouter(lab, three);
  for (const node of lab.nodes) await node.agent.start();
  for (const node of lab.nodes) await node.agent.ready();
  for (const family of families) {
    await becomesRouted(one, 'both peers', (routes) => routes.length === 2, family);
    await becomesRouted(three, 'both peers', (routes) => routes.length === 2, family);
  }
  for (const node of lab.nodes) await node.addPod();
});
afterAll(() => lab?.down());

describe.for(families)('IPv%i', (family) => {
  test('a node on the link is reached by its address, and one behind a router by the tunnel', async () => {
    expect(await routeTo(one, two, family)).toBe(direct(two, family));
    expect(await routeTo(two, one, family)).toBe(direct(one, family));
    expect(await routeTo(one, three, family)).toMatch(tunnelled(three, family));
    expect(await routeTo(three, one, family)).toMatch(tunnelled(one, family));
    const fdb = await one.run(['bridge', 'fdb', 'show', 'dev', device[family]]);
    expect(fdb.trim().split('\n')).toHaveLength(1);
    const { overlays } = await statusReport(one);
    expect(overlays.find((overlay) => overlay.family === family)).toMatchObject({
      peers: { wanted: 2, programmed: 2, failing: 0, direct: 1 },
      problems: [],
    });
  });

  test('both ways carry traffic in both directions', async () => {
    for (const to of [two, three]) {
      const flow = await flowTo(to, family);
      const { received } = await flow.count(200);
      await flow.stop();
      expect(received).toBeGreaterThan(100);
    }
    if (family === 4) await allPairs();
  });

  test('a peer moves into the tunnel and back when the underlay’s routes change, and IPv4 loses no packet', async () => {
    const host = `${addressOf(two, family)}/${family === 4 ? 32 : 128}`;
    const gateway = family === 4 ? '192.168.50.1' : 'fd00:50::1';
    const flow = await flowTo(two, family);
    await one.run(['ip', `-${family}`, 'route', 'add', host, 'via', gateway, 'dev', 'eth0']);
    await waitUntil(async () => tunnelled(two, family).test(await routeTo(one, two, family)), LOOK_MS, 'the tunnel');
    await flow.count(50);
    await one.run(['ip', `-${family}`, 'route', 'del', host]);
    await waitUntil(async () => (await routeTo(one, two, family)) === direct(two, family), LOOK_MS, 'the link');
    await flow.count(50);
    const result = await flow.stop();
    printLosses(`IPv${family} from the link into the tunnel and back`, result);
    // In IPv6 the route into the tunnel cannot be added before the direct route is removed.
    expect(result.outages.length).toBeLessThanOrEqual(family === 4 ? 0 : 1);
    // The tunnel has no neighbour for this peer any more.
    const neighbours = await one.run(['ip', `-${family}`, 'neigh', 'show', 'dev', device[family], 'nud', 'permanent']);
    expect(neighbours).not.toContain(`${base(two, family)} `);
  });

  test('a removed direct route is put back and noted as drift', async () => {
    const before = (await statusReport(one)).drift.totals.route ?? 0;
    await one.run(['ip', `-${family}`, 'route', 'del', `${base(two, family)}/${bits[family]}`]);
    await waitUntil(async () => (await routeTo(one, two, family)) === direct(two, family), LOOK_MS, 'the route');
    await waitUntil(async () => (await statusReport(one)).drift.totals.route === before + 1, LOOK_MS, 'the note');
    expect((await statusReport(one)).drift.entries.at(-1)).toMatchObject({
      object: 'route',
      place: 'eth0',
      what: 'node-2',
    });
  });
});

test('when the link goes down for a while, no packets are lost after it is back, and the direct routes exist again', async () => {
  const flow = await flowTo(two, 4);
  await one.run(['ip', 'link', 'set', 'eth0', 'down']);
  await one.run(['ip', 'link', 'set', 'eth0', 'up']);
  // The kernel removed the IPv6 addresses and the default routes when the link went down, and does not bring them back.
  await one.run(['ip', 'route', 'add', 'default', 'via', '192.168.50.1', 'dev', 'eth0']);
  await giveIpv6(one);
  for (const family of families) {
    await waitUntil(async () => (await routeTo(one, two, family)) === direct(two, family), LOOK_MS, `IPv${family}`);
    await waitUntil(async () => tunnelled(three, family).test(await routeTo(one, three, family)), LOOK_MS, 'tunnel');
  }
  await flow.untilInRow(50, LOOK_MS);
  printLosses('a flap of the link', await flow.stop());
  await allPairs();
});

test('a peer that left while the agent was down is removed, and nothing else changes', async () => {
  await one.agent.stop();
  await lab.removeNode('node-2');
  dropLease(lab, 'node-2');
  expect(await agentRoutes(one)).toHaveLength(2);
  await one.agent.start();
  await one.agent.ready();
  for (const family of families) {
    expect(await agentRoutes(one, family)).toEqual([expect.stringMatching(tunnelled(three, family))]);
  }
  await allPairs();
});

test('without DirectRouting, a direct route that was left behind is replaced or removed', async () => {
  await one.agent.stop();
  const stale = ['10.244.222.0/24', `${base(three, 4)}/24`];
  for (const subnet of stale) {
    await one.run(['ip', 'route', 'replace', subnet, 'via', '192.168.50.77', 'dev', 'eth0', 'proto', '138']);
  }
  one.writeFile(NET_CONF_FILE, JSON.stringify({ ...netConf, Backend: { Type: 'vxlan' } }));
  await one.agent.start();
  await one.agent.ready();
  expect(await agentRoutes(one)).toEqual([expect.stringMatching(tunnelled(three, 4))]);
  await allPairs();
});
