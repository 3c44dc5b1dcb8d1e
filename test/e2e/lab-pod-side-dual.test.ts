// The pods' side of a dual-stack node: the node gets another podCIDR (its Node was registered again), IPv6 forwarding is switched off,
// and the configured MTU is larger than the underlay can carry.

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { answered } from '../lab/matrix.ts';
import { waitUntil } from '../lab/processes.ts';
import { readLeaseText, writeLeaseText } from '../lab/support/leases.ts';

const LOOK_MS = 20_000;

let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  const netConf = {
    ...{ Network: '10.244.0.0/16', EnableIPv6: true, IPv6Network: 'fd00:244::/48' },
    Backend: { Type: 'vxlan', MTU: 9000 },
  };
  lab = await startLab({ nodes: 1, netConf });
  node = lab.node('node-1');
});
afterAll(() => lab?.down());

async function readyz(): Promise<{ status: number; body: string }> {
  return await node.agent.http('/readyz?verbose');
}

async function becomes(status: number, words: string): Promise<string> {
  let body = '';
  const holds = async (): Promise<boolean> => {
    const answer = await readyz();
    body = answer.body;
    return answer.status === status && body.includes(words);
  };
  await waitUntil(holds, LOOK_MS, `${status} with "${words}"`);
  return body;
}

/** Restarts the agent with another subnet, as after `kubectl delete node` and kubelet's next registration. */
async function restartWith(subnet: string, ipv6Subnet: string): Promise<void> {
  await node.agent.stop();
  const lease = JSON.parse(readLeaseText(lab, 'node-1')) as Record<string, unknown>;
  writeLeaseText(lab, 'node-1', JSON.stringify({ ...lease, Subnet: subnet, IPv6Subnet: ipv6Subnet }));
  await node.agent.start();
  await waitUntil(
    () => node.readFile('/run/flannel/subnet.env').includes(subnet.replace('.0/', '.1/')),
    LOOK_MS,
    'subnet.env',
  );
}

async function addresses(): Promise<string> {
  return await node.run(['ip', '-br', 'addr', 'show', 'cni0']);
}

test('an MTU above the underlay’s is not used, and the agent says so', async () => {
  const body = await becomes(
    200,
    '[!] MTU of flannel.1: Backend.MTU is 9000, but eth0 carries only 1500, so 1500 is used',
  );
  expect(body).toContain('flannel-v6.1: Backend.MTU is 9000');
  expect(await node.run(['ip', 'link', 'show', 'flannel.1'])).toContain('mtu 1450');
});

describe('a node that is given another podCIDR', () => {
  test('reports the addresses of the old one in both families while pods are attached', async () => {
    await node.addPod();
    await becomes(200, 'ready');
    await restartWith('10.244.201.0/24', 'fd00:244:0:201::/64');
    const body = await becomes(503, "this node's subnet is 10.244.201.0/24");
    expect(body).toContain("this node's subnet is fd00:244:0:201::/64");
    expect(body).toContain('ip link del cni0');
    expect(await addresses()).not.toContain('10.244.201.1/24');
  });

  test('replaces them once no pod is attached; then pods start and can be reached', async () => {
    for (const { name } of node.pods) await node.removePod(name);
    await becomes(200, 'ready');
    await waitUntil(async () => (await addresses()).includes('10.244.201.1/24'), LOOK_MS, 'the new address');
    await waitUntil(async () => (await addresses()).includes('fd00:244:0:201::1/64'), LOOK_MS, 'the new IPv6 address');
    expect((await addresses()).match(/10\.244\.|fd00:244:/g)).toHaveLength(2);
    const pod = await node.addPod();
    expect(pod.ip).toMatch(/^10\.244\.201\./);
    expect(answered(await node.ping([pod.ip]))).toHaveLength(1);
  });
});

test('when IPv6 forwarding is switched off, the node is unready until it is on again', async () => {
  if (node.pods.length === 0) await node.addPod();
  await becomes(200, 'ready');
  await node.run(['sysctl', '-qw', 'net.ipv6.conf.all.forwarding=0']);
  onTestFinished(async () => void (await node.run(['sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1'])));
  await becomes(503, '[-] forwarding of IPv6: net.ipv6.conf.all.forwarding is 0');
  await node.run(['sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1']);
  await becomes(200, 'ready');
});
