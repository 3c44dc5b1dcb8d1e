// A dual-stack node loses or changes one of its two underlay addresses. The other family must not be affected.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { countBothWays } from '../faults/probe/both-ways.ts';
import { type Flow, startFlow } from '../faults/probe/flow.ts';
import type { FlowEnd } from '../faults/probe/spec.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { readLeaseText } from '../lab/support/leases.ts';
import { giveIpv6 } from '../lab/support/router.ts';
import { becomesRouted } from '../lab/support/routes.ts';

/** How long to wait. A busy machine needs this much. */
const LOOK_MS = 20_000;
const netConf = {
  EnableIPv6: true,
  Network: '10.244.0.0/16',
  IPv6Network: 'fd00:10:244::/48',
  Backend: { Type: 'vxlan' },
};

let lab: Lab;
let node: LabNode;
let peer: LabNode;

beforeAll(async () => {
  lab = await startLab({ nodes: 2, netConf, agent: { start: false } });
  [node, peer] = [lab.node('node-1'), lab.node('node-2')];
  for (const each of lab.nodes) await giveIpv6(each);
  for (const each of lab.nodes) await each.agent.start();
  for (const each of lab.nodes) await each.agent.ready();
  for (const family of [4, 6] as const) {
    for (const each of lab.nodes) await becomesRouted(each, 'its peer', (routes) => routes.length === 1, family);
  }
  for (const each of lab.nodes) await each.addPod();
});
afterAll(() => lab?.down());

function endOf(of: LabNode, family: 4 | 6): FlowEnd {
  const [pod] = of.pods;
  const ip = pod?.ips.find((each) => each.includes(':') === (family === 6));
  if (pod === undefined || ip === undefined) throw new Error(`no IPv${family} pod on ${of.name}`);
  return { netnsFromOutside: pod.netnsFromOutside, ip };
}

/** Counts the IPv6 packets that are lost while `body` runs. No IPv4 packet may be lost. */
async function counting(what: string, body: () => Promise<void>): Promise<void> {
  const flow: Flow = await startFlow(endOf(node, 4), endOf(peer, 4));
  try {
    await countBothWays(what, [endOf(node, 6), endOf(peer, 6)], body, LOOK_MS);
    expect((await flow.stop()).lost).toBe(0);
  } finally {
    await flow.abandon();
  }
}

function published(): unknown {
  return (JSON.parse(readLeaseText(lab, 'node-1')) as { PublicIPv6?: unknown }).PublicIPv6;
}

async function readyz(): Promise<string> {
  return (await node.agent.http('/readyz')).body;
}

async function followed(address: string): Promise<void> {
  await waitUntil(() => published() === address, LOOK_MS, `the lease of ${address}`);
  const fdb = async (): Promise<string> => await peer.run(['bridge', 'fdb', 'show', 'dev', 'flannel-v6.1']);
  await waitUntil(async () => (await fdb()).includes(`dst ${address} `), LOOK_MS, `the peer sending to ${address}`);
  await waitUntil(async () => (await node.agent.http('/readyz')).status === 200, LOOK_MS, 'the agent ready again');
}

test('another IPv6 address replaces the old one', async () => {
  await counting('IPv6 address replaced', async () => {
    await node.run(['ip', 'addr', 'add', 'fd00:50::201/64', 'dev', 'eth0', 'nodad']);
    await node.run(['ip', 'addr', 'del', 'fd00:50::11/64', 'dev', 'eth0']);
    await followed('fd00:50::201');
  });
});

test('no IPv6 address except the link-local one for a while: this is reported and not advertised, and ends when the address is back', async () => {
  await counting('IPv6 address away for a while', async () => {
    await node.run(['ip', 'addr', 'del', 'fd00:50::201/64', 'dev', 'eth0']);
    const reason = '[-] external interface: eth0 has lost the address fd00:50::201';
    await waitUntil(async () => (await readyz()).includes(reason), LOOK_MS, 'the reason');
    expect(published()).toBe('fd00:50::201');
    await node.run(['ip', 'addr', 'add', 'fd00:50::201/64', 'dev', 'eth0', 'nodad']);
    await followed('fd00:50::201');
  });
  expect(node.agent.log().match(/own address changed/g)).toHaveLength(1);
});

test('an address deprecated by its router, with another one available, is left without a loss', async () => {
  await counting('IPv6 address deprecated', async () => {
    await node.run(['ip', 'addr', 'add', 'fd00:50::202/64', 'dev', 'eth0', 'nodad']);
    await node.run(['ip', 'addr', 'change', 'fd00:50::201/64', 'dev', 'eth0', 'preferred_lft', '0']);
    await followed('fd00:50::202');
  });
});
