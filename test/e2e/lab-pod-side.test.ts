// The pods' side of a node: the agent repairs what somebody breaks there, and reports what it cannot repair because pods use it. Each
// test first shows that the fault is there, and at the end that it is gone.

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { StatusReport } from '../../flanneld/health/status/report.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { answered, failed } from '../lab/matrix.ts';
import { subnetOf } from '../lab/mesh.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';

const LOOK_MS = 20_000;

interface Port {
  readonly ifname: string;
  readonly master?: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly linkinfo?: { readonly info_slave_data?: { readonly hairpin?: boolean } };
}

async function link(node: LabNode, name: string): Promise<Port> {
  const [found] = JSON.parse(await node.run(['ip', '-d', '-j', 'link', 'show', 'dev', name])) as Port[];
  if (found === undefined) throw new Error(`no ${name} on ${node.name}`);
  return found;
}

/** The name of the pod's device on the node. */
async function portOf(node: LabNode): Promise<string> {
  const ports = JSON.parse(await node.run(['ip', '-j', 'link', 'show', 'master', 'cni0'])) as Port[];
  const [port] = ports;
  if (port === undefined) throw new Error(`no port on cni0 of ${node.name}`);
  return port.ifname;
}

async function status(node: LabNode): Promise<StatusReport> {
  return JSON.parse((await node.exec([builtAgent, 'status', '--json'])).stdout) as StatusReport;
}

async function drift(node: LabNode): Promise<string[]> {
  const { drift: found } = await status(node);
  return found.entries.map(({ object, place, was }) => `${object} ${place} ${was}`);
}

/** The status and text of /readyz. The node is ready when no `required` line has a problem. */
async function readyz(node: LabNode): Promise<{ status: number; body: string }> {
  return await node.agent.http('/readyz?verbose');
}

async function becomesUnready(node: LabNode, words: string): Promise<string> {
  let body = '';
  await waitUntil(
    async () => {
      const answer = await readyz(node);
      body = answer.body;
      return answer.status === 503 && body.includes(words);
    },
    LOOK_MS,
    `"${words}" of ${node.name}`,
  );
  return body.split('\n').find((line) => line.startsWith('[-]')) ?? '';
}

async function becomesReady(node: LabNode): Promise<void> {
  await waitUntil(async () => (await readyz(node)).status === 200, LOOK_MS, `readiness of ${node.name}`);
}

/** Does the damage and waits until one more repair of it is noted: an earlier test may have caused the same one. */
async function isRepaired(node: LabNode, was: string, damage: readonly string[]): Promise<void> {
  const noted = async (): Promise<number> => (await drift(node)).filter((entry) => entry === was).length;
  const before = await noted();
  await node.run([...damage]);
  await waitUntil(async () => (await noted()) > before, LOOK_MS, `"${was}" in the drift of ${node.name}`);
}

let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
  for (const each of lab.nodes) await each.addPod();
  node = lab.node('node-1');
});
afterAll(() => lab?.down());

describe('what the agent repairs and notes', () => {
  test('cni0 set down', async () => {
    await isRepaired(node, 'link cni0 was down', ['ip', 'link', 'set', 'cni0', 'down']);
    expect(failed(await lab.matrix())).toEqual([]);
  });

  test('cni0 deleted while pods were attached to it', async () => {
    await isRepaired(node, 'link cni0 missing', ['ip', 'link', 'del', 'cni0']);
    await waitUntil(async () => failed(await lab.matrix({ timeoutMs: 300 })).length === 0, LOOK_MS, 'all pods');
  });

  test('the address of cni0 flushed', async () => {
    await isRepaired(node, 'address cni0 missing', ['ip', 'addr', 'flush', 'dev', 'cni0']);
    expect(failed(await lab.matrix())).toEqual([]);
  });

  test('the MTU of cni0 made smaller', async () => {
    await isRepaired(node, 'link cni0 had MTU 1300', ['ip', 'link', 'set', 'cni0', 'mtu', '1300']);
    expect((await link(node, 'cni0')).mtu).toBe(1450);
  });

  test('a pod’s device removed from cni0, together with its hairpin setting', async () => {
    const port = await portOf(node);
    expect((await link(node, port)).linkinfo?.info_slave_data?.hairpin).toBe(true);
    await isRepaired(node, 'attachment cni0 was not on cni0', ['ip', 'link', 'set', port, 'nomaster']);
    expect((await link(node, port)).linkinfo?.info_slave_data?.hairpin).toBe(true);
    expect(failed(await lab.matrix())).toEqual([]);
  });

  test('the hairpin of a pod’s device switched off', async () => {
    const port = await portOf(node);
    await isRepaired(node, 'attachment cni0 had hairpin off', ['bridge', 'link', 'set', 'dev', port, 'hairpin', 'off']);
    expect((await link(node, port)).linkinfo?.info_slave_data?.hairpin).toBe(true);
  });
});

test('the agent leaves a pod’s device alone that somebody has put on another bridge', async () => {
  const port = await portOf(node);
  await node.run(['ip', 'link', 'add', 'other0', 'type', 'bridge']);
  await node.run(['ip', 'link', 'set', port, 'master', 'other0']);
  // The agent repairs a later fault. This shows that it has also noticed the first one by then.
  const before = (await drift(node)).length;
  await node.run(['ip', 'link', 'set', 'cni0', 'down']);
  await waitUntil(async () => (await drift(node)).length > before, LOOK_MS, 'a look');
  expect((await link(node, port)).master).toBe('other0');
  await isRepaired(node, 'attachment cni0 was not on cni0', ['ip', 'link', 'del', 'other0']);
  await waitUntil(async () => (await link(node, port)).master === 'cni0', LOOK_MS, 'the port on cni0');
});

describe('what makes the node unready until it is right again', () => {
  test('ip_forward switched off', async () => {
    await node.run(['sysctl', '-qw', 'net.ipv4.ip_forward=0']);
    onTestFinished(async () => void (await node.run(['sysctl', '-qw', 'net.ipv4.ip_forward=1'])));
    const line = await becomesUnready(node, 'net.ipv4.ip_forward is 0');
    expect(line).toContain('sysctl -w net.ipv4.ip_forward=1');
    await node.run(['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
    await becomesReady(node);
  });

  test('forwarding switched off on cni0 alone', async () => {
    await node.run(['sysctl', '-qw', 'net.ipv4.conf.cni0.forwarding=0']);
    onTestFinished(async () => void (await node.run(['sysctl', '-qw', 'net.ipv4.conf.cni0.forwarding=1'])));
    await becomesUnready(node, 'net.ipv4.conf.cni0.forwarding is 0');
    await node.run(['sysctl', '-qw', 'net.ipv4.conf.cni0.forwarding=1']);
    await becomesReady(node);
  });

  test('an ip rule that leads the pod network to another table', async () => {
    await node.run(['ip', 'route', 'add', 'default', 'dev', 'eth0', 'table', '100']);
    await node.run(['ip', 'rule', 'add', 'from', '10.244.0.0/16', 'lookup', '100', 'priority', '500']);
    const line = await becomesUnready(node, 'ip rule 500: from 10.244.0.0/16 lookup 100');
    expect(line).toContain('ip rule add to 10.244.0.0/16 lookup main priority 499');
    // The advice in the message does help.
    await node.run(['ip', 'rule', 'add', 'to', '10.244.0.0/16', 'lookup', 'main', 'priority', '499']);
    await becomesReady(node);
    for (const priority of ['499', '500']) await node.run(['ip', 'rule', 'del', 'priority', priority]);
  });

  test('an ip rule that prohibits it', async () => {
    await node.run(['ip', 'rule', 'add', 'to', '10.244.0.0/16', 'prohibit', 'priority', '500']);
    await becomesUnready(node, 'ip rule 500: from all to 10.244.0.0/16 prohibit');
    await node.run(['ip', 'rule', 'del', 'priority', '500']);
    await becomesReady(node);
  });

  test('routes that lead all of another node’s subnet elsewhere', async () => {
    const other = (subnetOf(lab.node('node-2')) ?? '').replace('.0/24', '');
    const halves = [`${other}.0/25`, `${other}.128/25`];
    for (const half of halves) await node.run(['ip', 'route', 'add', half, 'dev', 'eth0']);
    const line = await becomesUnready(node, `the route ${other}.0/25`);
    expect(line).toContain(`ip route del ${other}.0/25`);
    for (const half of halves) await node.run(['ip', 'route', 'del', half]);
    await becomesReady(node);
  });

  test('cni0 with another subnet’s address', async () => {
    const own = (subnetOf(node) ?? '').replace('.0/24', '.1/24');
    await node.run(['ip', 'addr', 'add', '10.244.199.1/24', 'dev', 'cni0']);
    const line = await becomesUnready(node, 'cni0 has 10.244.199.1/24');
    expect(line).toContain('ip link del cni0');
    await node.run(['ip', 'addr', 'del', '10.244.199.1/24', 'dev', 'cni0']);
    await becomesReady(node);
    expect(await node.run(['ip', '-br', 'addr', 'show', 'cni0'])).toContain(own);
  });
});

test('the agent reports that pods have an older MTU, once the underlay has another', async () => {
  await node.run(['ip', 'link', 'set', 'eth0', 'mtu', '1400']);
  await waitUntil(
    async () => (await readyz(node)).body.includes('1 pod has MTU 1450, but the network has 1350 now'),
    LOOK_MS,
    'the finding',
  );
  expect((await readyz(node)).status).toBe(200);
  await waitUntil(async () => (await link(node, 'cni0')).mtu === 1350, LOOK_MS, 'the MTU of cni0');
  await node.run(['ip', 'link', 'set', 'eth0', 'mtu', '1500']);
  await waitUntil(async () => !(await readyz(node)).body.includes('older MTU'), LOOK_MS, 'no finding');
});

test('the agent warns of a route that leads part of a subnet elsewhere, and stays ready with rules that affect no traffic of ours', async () => {
  const other = (subnetOf(lab.node('node-2')) ?? '').replace('.0/24', '');
  await node.run(['ip', 'rule', 'add', 'fwmark', '0x77', 'lookup', '100', 'priority', '400']);
  await node.run(['ip', 'rule', 'add', 'from', '10.0.0.0/9', 'to', '172.16.0.0/12', 'prohibit', 'priority', '401']);
  await node.run(['ip', 'route', 'add', `${other}.0/25`, 'dev', 'eth0']);
  await waitUntil(async () => (await readyz(node)).body.includes('[!] paths of IPv4'), LOOK_MS, 'the warning');
  expect((await readyz(node)).status).toBe(200);
  await node.run(['ip', 'route', 'del', `${other}.0/25`]);
  await waitUntil(async () => !(await readyz(node)).body.includes('paths of IPv4'), LOOK_MS, 'no warning');
  for (const priority of ['400', '401']) await node.run(['ip', 'rule', 'del', 'priority', priority]);
});

describe('before a pod is attached', () => {
  let fresh: Lab;
  beforeAll(async () => {
    fresh = await startLab({ nodes: 1 });
  });
  afterAll(() => fresh?.down());

  test('forwarding that is off causes only a warning, because the first ADD switches it on', async () => {
    const [lone] = fresh.nodes;
    if (lone === undefined) throw new Error('no node');
    await lone.run(['sysctl', '-qw', 'net.ipv4.ip_forward=0']);
    await waitUntil(async () => (await readyz(lone)).body.includes('[!] forwarding of IPv4'), LOOK_MS, 'the warning');
    expect((await readyz(lone)).status).toBe(200);
    const pod = await lone.addPod();
    await waitUntil(async () => !(await readyz(lone)).body.includes('forwarding of IPv4'), LOOK_MS, 'no warning');
    expect(answered(await lone.ping([pod.ip]))).toHaveLength(1);
  });

  test('a bridge with an address of another subnet gets this node’s own address', async () => {
    const [lone] = fresh.nodes;
    if (lone === undefined) throw new Error('no node');
    for (const { name } of lone.pods) await lone.removePod(name);
    const own = (subnetOf(lone) ?? '').replace('.0/24', '.1/24');
    await lone.run(['ip', 'addr', 'flush', 'dev', 'cni0']);
    const add = ['ip', 'addr', 'add', '10.244.199.1/24', 'dev', 'cni0'];
    await isRepaired(lone, 'address cni0 is an address of another subnet', add);
    expect(await lone.run(['ip', '-br', 'addr', 'show', 'cni0'])).toContain(own);
    const pod = await lone.addPod();
    expect(answered(await lone.ping([pod.ip]))).toHaveLength(1);
  });
});
