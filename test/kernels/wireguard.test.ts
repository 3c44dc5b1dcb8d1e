// The wireguard backend in a lab of three nodes: what it leaves in the kernel, advertises and repairs, and what a wrong key, a wrong port
// and a stranger's lease can do. wg(8) is the independent check.

import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type Flow, startFlow } from '../faults/probe/flow.ts';
import { LEASE_FOLDER, SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { answered, failed } from '../lab/matrix.ts';
import { subnetOf } from '../lab/mesh.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { dropLease, readLeaseText, writeLeaseText } from '../lab/support/leases.ts';
import { allPodsReach, statusReport } from '../lab/support/status.ts';
import { needs } from '../support/needs.ts';
import { slowed } from '../support/slowness.ts';
import { hasLinkKind } from './has-link-kind.ts';

const LOOK_MS = 20_000;
/** The longest time for which pods of two nodes may not reach each other while one node changes its key. */
const KEY_LOSS_MS = 1000;
/** The kernel sends no events for peers, so they are compared once a minute. */
const AUDIT_MS = 75_000;
const KEY_FILE = '/run/flannel/wgkey';

const hasWireguard = hasLinkKind('wireguard');

beforeEach(() => needs.machine(hasWireguard, 'WireGuard in the kernel'));

async function problems(node: LabNode): Promise<string> {
  const { overlays } = await statusReport(node);
  return overlays.flatMap((overlay) => overlay.problems.map(({ key, reason }) => `${key}: ${reason}`)).join('\n');
}

/** `wg show DEV SUBJECT`: a line for each peer, as its public key and the rest. */
async function wg(node: LabNode, device: string, subject: string): Promise<Map<string, string>> {
  const text = await node.run(['wg', 'show', device, subject]);
  const rows = text.split('\n').filter(Boolean);
  return new Map(rows.map((row) => [row.split('\t')[0] ?? '', row.split('\t').slice(1).join(' ')]));
}

interface LeaseText {
  readonly PublicIP: string;
  readonly BackendType: string;
  readonly BackendData: { readonly PublicKey: string; readonly Port: number };
  readonly BackendV6Data?: { readonly PublicKey: string; readonly Port: number };
}

const leaseOf = (lab: Lab, node: LabNode): LeaseText => JSON.parse(readLeaseText(lab, node.name)) as LeaseText;
const keyOf = (lab: Lab, node: LabNode): string => leaseOf(lab, node).BackendData.PublicKey;

/** Makes a comparison happen soon: the agent lists everything again when its device changes. */
async function soonCompared(node: LabNode, device: string): Promise<void> {
  await node.run(['ip', 'link', 'set', device, 'mtu', '1300']);
}

describe('three nodes with WireGuard', () => {
  let lab: Lab;
  let one: LabNode;
  let two: LabNode;
  beforeAll(async () => {
    if (!hasWireguard) return;
    const psk = Buffer.alloc(32, 7).toString('base64');
    const Backend = { Type: 'wireguard', PSK: psk, PersistentKeepaliveInterval: 25 };
    lab = await startLab({ nodes: 3, netConf: { Network: '10.244.0.0/16', Backend } });
    for (const node of lab.nodes) await node.addPod();
    [one, two] = [lab.node('node-1'), lab.node('node-2')];
  });
  afterAll(() => lab?.down());

  /** A flow in each direction between the two nodes' pods, which begins now. */
  async function bothWays(): Promise<Flow[]> {
    const [a, b] = [one.pods[0], two.pods[0]];
    if (a === undefined || b === undefined) throw new Error('a pod is missing');
    const flows = [await startFlow(a, b, { rateHz: 50 }), await startFlow(b, a, { rateHz: 50 })];
    for (const flow of flows) await flow.begin();
    return flows;
  }

  test('reach each other encrypted, with the MTU that is left', async () => {
    await allPodsReach(lab);
    expect(one.readFile(SUBNET_FILE)).toContain('FLANNEL_MTU=1420\n');
    const [from, to] = [one.pods[0], two.pods[0]];
    if (from === undefined || to === undefined) throw new Error('a pod is missing');
    expect(answered(await from.ping([to.ip], { dontFragment: true, payloadBytes: 1392 }))).toHaveLength(1);
    const handshakes = await wg(one, 'flannel-wg', 'latest-handshakes');
    expect([...handshakes.values()].every((text) => Number(text) > 0)).toBe(true);
    expect(handshakes.size).toBe(2);
  });

  test('leave in the kernel what flannel leaves', async () => {
    const link = await one.run(['ip', '-d', 'link', 'show', 'flannel-wg']);
    expect(link).toContain('<POINTOPOINT,NOARP,UP,LOWER_UP> mtu 1420');
    expect(await one.run(['wg', 'show', 'flannel-wg', 'listen-port'])).toBe('51820\n');
    expect(await one.run(['ip', '-4', '-br', 'addr', 'show', 'flannel-wg'])).toContain(
      `${subnetOf(one)?.replace('/24', '')}/32`,
    );
    expect(await one.run(['ip', 'route', 'show', '10.244.0.0/16', 'dev', 'flannel-wg'])).toContain('scope link');
    const peer = keyOf(lab, two);
    expect((await wg(one, 'flannel-wg', 'allowed-ips')).get(peer)).toBe(subnetOf(two));
    expect((await wg(one, 'flannel-wg', 'endpoints')).get(peer)).toBe(`${two.address}:51820`);
    expect((await wg(one, 'flannel-wg', 'persistent-keepalive')).get(peer)).toBe('25');
    expect((await wg(one, 'flannel-wg', 'preshared-keys')).get(peer)).toBe(Buffer.alloc(32, 7).toString('base64'));
  });

  test('advertise the key and port, and keep the private key to the node', async () => {
    const { PublicIP, BackendType, BackendData } = leaseOf(lab, one);
    expect({ PublicIP, BackendType, BackendData }).toEqual({
      PublicIP: one.address,
      BackendType: 'wireguard',
      BackendData: { PublicKey: (await one.run(['wg', 'show', 'flannel-wg', 'public-key'])).trim(), Port: 51820 },
    });
    expect(one.readFile(KEY_FILE)).toMatch(/^[A-Za-z0-9+/]{43}=$/);
    expect((await one.run(['stat', '-c', '%a', KEY_FILE])).trim()).toBe('600');
    const key = one.readFile(KEY_FILE);
    expect(JSON.stringify(await statusReport(one))).not.toContain(key);
    expect(one.agent.log()).not.toContain(key);
  });

  test('keep device, key and peers when the agent is restarted', async () => {
    const [index, key] = [await one.run(['cat', '/sys/class/net/flannel-wg/ifindex']), keyOf(lab, one)];
    const handshakes = await wg(one, 'flannel-wg', 'latest-handshakes');
    await one.agent.stop();
    expect(failed(await lab.matrix())).toEqual([]);
    await one.agent.start();
    await one.agent.ready();
    expect(await one.run(['cat', '/sys/class/net/flannel-wg/ifindex'])).toBe(index);
    expect(keyOf(lab, one)).toBe(key);
    expect(new Set((await wg(one, 'flannel-wg', 'latest-handshakes')).keys())).toEqual(new Set(handshakes.keys()));
  });

  test('put back what somebody removes: a peer, a prefix, the route, the address, the device', async () => {
    const peer = keyOf(lab, two);
    await one.run(['wg', 'set', 'flannel-wg', 'peer', peer, 'remove']);
    await soonCompared(one, 'flannel-wg');
    await waitUntil(async () => (await wg(one, 'flannel-wg', 'allowed-ips')).has(peer), LOOK_MS, 'the peer');
    await one.run(['wg', 'set', 'flannel-wg', 'peer', peer, 'allowed-ips', '10.99.0.0/24']);
    await soonCompared(one, 'flannel-wg');
    const isRight = async (): Promise<boolean> =>
      (await wg(one, 'flannel-wg', 'allowed-ips')).get(peer) === subnetOf(two);
    await waitUntil(isRight, LOOK_MS, 'the prefix');
    await one.run(['ip', 'route', 'del', '10.244.0.0/16', 'dev', 'flannel-wg']);
    const isRouted = async (): Promise<boolean> =>
      (await one.run(['ip', 'route', 'show', '10.244.0.0/16', 'dev', 'flannel-wg'])) !== '';
    await waitUntil(isRouted, LOOK_MS, 'the route');
    await one.run(['ip', 'addr', 'flush', 'dev', 'flannel-wg']);
    await allPodsReach(lab);
    await one.run(['ip', 'link', 'del', 'flannel-wg']);
    await allPodsReach(lab);
    expect((await wg(one, 'flannel-wg', 'allowed-ips')).size).toBe(2);
  });

  test('find a removed peer by themselves at the audit', { timeout: 20 * AUDIT_MS }, async () => {
    const peer = keyOf(lab, two);
    await one.run(['wg', 'set', 'flannel-wg', 'peer', peer, 'remove']);
    await waitUntil(async () => (await wg(one, 'flannel-wg', 'allowed-ips')).has(peer), AUDIT_MS, 'the peer');
    const { drift } = await statusReport(one);
    expect(drift.entries.some(({ object, what }) => object === 'peer' && what === 'node-2')).toBe(true);
  });

  test('follow a peer’s new key and forget its former one', async () => {
    const before = keyOf(lab, two);
    await two.agent.stop();
    await two.run(['rm', KEY_FILE]);
    await two.agent.start();
    await waitUntil(() => keyOf(lab, two) !== before, LOOK_MS, 'a new key in the lease');
    const after = keyOf(lab, two);
    await waitUntil(
      async () => {
        const peers = await wg(one, 'flannel-wg', 'allowed-ips');
        return peers.get(after) === subnetOf(two) && !peers.has(before);
      },
      LOOK_MS,
      'the new key',
    );
    await allPodsReach(lab);
  });

  test('take a new key when asked, and keep it', async () => {
    const before = keyOf(lab, one);
    const flows = await bothWays();
    const { exitCode, stdout } = await one.exec([builtAgent, 'rotate-key', `--subnet-file=${SUBNET_FILE}`]);
    expect([exitCode, stdout]).toEqual([
      0,
      expect.stringMatching(/^node-1 now uses the key .{44}; peers learn it from the node’s lease\n$/),
    ]);
    const after = keyOf(lab, one);
    expect(after).not.toBe(before);
    await waitUntil(async () => !(await wg(two, 'flannel-wg', 'allowed-ips')).has(before), LOOK_MS, 'the new key');
    expect((await wg(two, 'flannel-wg', 'allowed-ips')).get(after)).toBe(subnetOf(one));
    await allPodsReach(lab);
    for (const flow of flows) {
      const { lost, sent, longestLossMs } = await flow.stop();
      process.stdout.write(`a new key: ${lost} of ${sent} packets lost, at most ${longestLossMs} ms in a row\n`);
      expect(longestLossMs).toBeLessThanOrEqual(slowed(KEY_LOSS_MS));
      expect(lost).toBeLessThan(sent);
    }
    await one.agent.stop();
    await one.agent.start();
    await one.agent.ready();
    expect(keyOf(lab, one)).toBe(after);
  });

  test('refuse what a stranger’s lease claims, and nobody loses anything', async () => {
    const claims = {
      thief: { PublicKey: keyOf(lab, two), Port: 51820 },
      own: { PublicKey: keyOf(lab, one), Port: 51820 },
      zero: { PublicKey: Buffer.alloc(32).toString('base64'), Port: 51820 },
      short: { PublicKey: 'AAAA', Port: 51820 },
      port: { PublicKey: Buffer.alloc(32, 9).toString('base64'), Port: 70000 },
      none: null,
    };
    const names = Object.keys(claims);
    onTestFinished(() => {
      for (const name of names) dropLease(lab, name);
    });
    for (const [at, [name, BackendData]] of Object.entries(claims).entries()) {
      const lease = {
        Subnet: `10.244.${200 + at}.0/24`,
        PublicIP: '192.168.50.77',
        BackendType: 'wireguard',
        BackendData,
      };
      writeLeaseText(lab, name, JSON.stringify(lease));
    }
    const wanted = [
      'thief: has the same WireGuard key as node-2',
      'own: has the same WireGuard key as this node',
      'zero: has no valid WireGuard key',
      'short: has no valid WireGuard key',
      'port: has no valid port',
      'none: has no WireGuard key',
    ];
    await waitUntil(
      async () => {
        const text = await problems(one);
        return wanted.every((one) => text.includes(one));
      },
      LOOK_MS,
      'all problems',
    );
    expect((await wg(one, 'flannel-wg', 'allowed-ips')).get(keyOf(lab, two))).toBe(subnetOf(two));
    expect((await wg(one, 'flannel-wg', 'allowed-ips')).size).toBe(2);
    expect(failed(await lab.matrix())).toEqual([]);
  });

  test('leave nothing after cleanup', async () => {
    await one.agent.stop();
    const argv = [builtAgent, 'cleanup', `--subnet-file=${SUBNET_FILE}`, `--subnet-dir=${LEASE_FOLDER}`];
    const { stdout } = await one.exec(argv);
    expect(stdout).toContain('link flannel-wg');
    expect(await one.run(['ip', 'link', 'show', 'type', 'wireguard'])).toBe('');
    expect((await one.exec(['test', '-e', KEY_FILE])).exitCode).not.toBe(0);
  });
});

describe('two nodes whose pods send nothing, without probes and keepalive', () => {
  let lab: Lab;
  beforeAll(async () => {
    if (!hasWireguard) return;
    const netConf = { Network: '10.244.0.0/16', Backend: { Type: 'wireguard' } };
    lab = await startLab({ nodes: 2, netConf, agent: { args: ['--probes=off'] } });
  });
  afterAll(() => lab?.down());

  const shaken = async (node: LabNode): Promise<boolean> => {
    const times = [...(await wg(node, 'flannel-wg', 'latest-handshakes')).values()];
    return times.length === 1 && times.every((text) => Number(text) > 0);
  };

  test('greet each other, so that the first packet need not wait', async () => {
    for (const node of lab.nodes) await waitUntil(() => shaken(node), LOOK_MS, `a handshake of ${node.name}`);
    for (const node of lab.nodes) {
      expect([...(await wg(node, 'flannel-wg', 'persistent-keepalive')).values()]).toEqual(['off']);
    }
  });

  // Until the other node notices by itself, 15 s later, it encrypts for a session that is gone.
  test('greet again when a device was made anew', async () => {
    const one = lab.node('node-1');
    await one.run(['ip', 'link', 'del', 'flannel-wg']);
    const isBack = async (): Promise<boolean> => (await one.exec(['wg', 'show', 'flannel-wg'])).exitCode === 0;
    await waitUntil(isBack, LOOK_MS, 'the device');
    await waitUntil(() => shaken(one), LOOK_MS, 'a handshake');
  });
});

describe.each([
  { mode: 'separate', devices: ['flannel-wg', 'flannel-wg-v6'], port6: 51821 },
  { mode: 'auto', devices: ['flannel-wg'], port6: 51820 },
  { mode: 'ipv4', devices: ['flannel-wg'], port6: 51820 },
  { mode: 'ipv6', devices: ['flannel-wg'], port6: 51820 },
])('two dual-stack nodes in mode $mode', ({ mode, devices, port6 }) => {
  let lab: Lab;
  beforeAll(async () => {
    if (!hasWireguard) return;
    lab = await startLab({
      nodes: 2,
      netConf: {
        ...{ Network: '10.244.0.0/16', EnableIPv6: true, IPv6Network: 'fd00:244::/48' },
        Backend: { Type: 'wireguard', Mode: mode },
      },
    });
    for (const node of lab.nodes) await node.addPod();
  });
  afterAll(() => lab?.down());

  test('reach each other in both families', async () => {
    await allPodsReach(lab);
    const one = lab.node('node-1');
    const links = await one.run(['ip', '-br', 'link', 'show', 'type', 'wireguard']);
    expect(
      links
        .split('\n')
        .filter(Boolean)
        .map((line) => line.split(/\s/)[0]),
    ).toEqual(devices);
    const { BackendData, BackendV6Data } = leaseOf(lab, one);
    expect(BackendV6Data).toEqual({ PublicKey: BackendData.PublicKey, Port: port6 });
    expect((await statusReport(one)).ready).toBe(true);
  });
});
