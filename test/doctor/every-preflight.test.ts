// `flanneld preflight` on lab nodes without agents: a bare node is fit, each obstacle is named only while it exists, and nothing of the
// tries is left.

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Finding } from '../../flanneld/health/finding.ts';
import type { CommandResult } from '../lab/command.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { builtAgent } from '../lab/programs.ts';

interface Report {
  readonly exitCode: number | null;
  readonly fit: boolean;
  readonly verdict: string;
  readonly kernel: Readonly<Record<string, string>>;
  readonly findings: readonly Finding[];
}

let lab: Lab;
let node: LabNode;
let other: LabNode;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

beforeAll(async () => {
  lab = await startLab({ nodes: 2, conflist: false, agent: { start: false } });
  [node, other] = [lab.node('node-1'), lab.node('node-2')];
  await node.run(['sh', '-c', 'rm -f /etc/sysctl.d/*forward*']);
});
afterAll(() => lab?.down());

async function run(words: readonly string[], before: readonly string[] = [], path = PATH): Promise<CommandResult> {
  return await node.exec([...before, builtAgent, 'preflight', ...words], { env: { NODE_NAME: node.name, PATH: path } });
}

async function preflight(words: readonly string[] = [], before: readonly string[] = [], path = PATH): Promise<Report> {
  const { exitCode, stdout, stderr } = await run([...words, '--json'], before, path);
  if (!stdout.startsWith('{')) throw new Error(`preflight: exit ${exitCode}: ${stderr}`);
  return { exitCode, ...JSON.parse(stdout) } as Report;
}

const devices = async (): Promise<string> => await node.run(['ip', '-br', 'link']);
const tables = async (): Promise<string> => await node.run(['nft', 'list', 'tables']);

describe('a bare node', () => {
  test('passes, and everything that was tried is removed', async () => {
    const before = [await devices(), await tables()];
    const report = await preflight([other.address]);
    expect(report.findings.filter(({ severity }) => severity !== 'info')).toEqual([]);
    expect(report).toMatchObject({ exitCode: 0, fit: true, verdict: 'node-1 is fit for Weft' });
    for (const feature of ['vxlan', 'bridge', 'veth', 'nexthop objects', 'nftables', 'masquerade', 'strict dumps']) {
      expect(report.kernel[feature]).toBe('works');
    }
    expect([await devices(), await tables()]).toEqual(before);
    expect((await run([])).stdout).toMatch(/^node-1 is fit for Weft\nthe kernel has: vxlan, bridge, veth/);
  });

  test('passes with NET_ADMIN alone, without a namespace for the tries, and nothing is left either', async () => {
    const before = [await devices(), await tables()];
    const report = await preflight([], ['setpriv', '--bounding-set=-all,+net_admin', '--']);
    expect(report.fit).toBe(true);
    for (const feature of ['vxlan', 'bridge', 'veth', 'nftables']) expect(report.kernel[feature]).toBe('works');
    expect([await devices(), await tables()]).toEqual(before);
  });

  test.for([
    {
      what: 'without rights',
      words: [],
      before: ['setpriv', '--bounding-set=-all', '--'],
      want: 'preflight needs the capability NET_ADMIN',
    },
    {
      what: 'with a name for an address',
      words: ['node-2'],
      before: [],
      want: 'ADDRESS: expected an address of another node, got "node-2"',
    },
  ])('cannot be looked at $what: exit 2', async ({ words, before, want }) => {
    const { exitCode, stderr } = await run(words, before);
    expect(exitCode, stderr).toBe(2);
    expect(stderr).toContain(want);
  });
});

describe('preflight names', () => {
  const listener = (script: string): string =>
    `${process.execPath} -e '${script}' >/dev/null 2>&1 & echo $! > /run/listener; sleep 1`;
  const stopped = 'kill $(cat /run/listener)';
  const posing = (name: string): string =>
    `cp "$(command -v sleep)" /run/${name} && (/run/${name} 600 >/dev/null 2>&1 & echo $! > /run/listener); sleep 0.5`;

  test.for<{
    what: string;
    make: string;
    undo: string;
    id: string;
    severity: string;
    says: string;
    words?: readonly string[];
  }>([
    {
      what: 'another device with VNI and port',
      make: 'ip link add vx9 type vxlan id 1 dstport 8472',
      undo: 'ip link del vx9',
      id: 'vxlan-port-taken',
      severity: 'error',
      says: 'vx9: vxlan id 1 dstport 8472',
    },
    {
      what: 'a program on the tunnel’s port',
      make: listener('require("dgram").createSocket("udp4").bind(8472)'),
      undo: stopped,
      id: 'vxlan-port-taken',
      severity: 'error',
      says: 'sport = :8472',
    },
    {
      what: 'a program on the agent’s port',
      make: listener('require("net").createServer().listen(8081)'),
      undo: stopped,
      id: 'health-port-taken',
      severity: 'error',
      says: 'sport = :8081',
      words: ['--healthz-port=8081'],
    },
    {
      what: 'another CNI’s configuration',
      make: `mkdir -p /etc/cni/net.d && echo '{"name":"c","plugins":[{"type":"cilium-cni"}]}' > /etc/cni/net.d/05-cilium.conflist`,
      undo: 'rm /etc/cni/net.d/05-cilium.conflist',
      id: 'cni-conflist-shadowed',
      severity: 'error',
      says: '05-cilium.conflist',
    },
    {
      what: 'another CNI’s device',
      make: 'ip link add cilium_host type bridge',
      undo: 'ip link del cilium_host',
      id: 'other-cni',
      severity: 'warning',
      says: 'device cilium_host',
    },
    {
      what: 'what flannel left',
      make: 'ip link add flannel.1 type vxlan id 1 dstport 8472 dev eth0',
      undo: 'ip link del flannel.1',
      id: 'flannel-here',
      severity: 'info',
      says: 'device flannel.1',
    },
    {
      what: 'a policy that drops what is forwarded',
      make: `nft 'table inet strict { chain forward { type filter hook forward priority 0; policy drop; }; }'`,
      undo: 'nft delete table inet strict',
      id: 'firewall-refuses-pods',
      severity: 'warning',
      says: 'chain inet strict forward',
    },
    {
      what: 'firewalld',
      make: 'nft add table inet firewalld; nft add chain inet firewalld filter_FORWARD "{ type filter hook forward priority 10; }"',
      undo: 'nft delete table inet firewalld',
      id: 'firewalld-active',
      severity: 'warning',
      says: 'firewalld',
    },
    {
      what: 'NetworkManager that manages all',
      make: posing('NetworkManager'),
      undo: stopped,
      id: 'network-manager-meddles',
      severity: 'warning',
      says: 'process NetworkManager',
    },
    {
      what: 'a file that switches forwarding off',
      make: 'mkdir -p /etc/sysctl.d && echo net.ipv4.ip_forward = 0 > /etc/sysctl.d/99-hard.conf',
      undo: 'rm /etc/sysctl.d/99-hard.conf',
      id: 'ip-forward-off',
      severity: 'warning',
      says: '/etc/sysctl.d/99-hard.conf',
    },
    {
      what: 'a strict reverse path filter with two ways out',
      make: 'ip link add eth9 type bridge && ip link set eth9 up && ip route add default dev eth9 metric 99 && sysctl -qw net.ipv4.conf.all.rp_filter=1',
      undo: 'ip link del eth9; sysctl -qw net.ipv4.conf.all.rp_filter=0',
      id: 'rp-filter-strict',
      severity: 'warning',
      says: 'rp_filter is 1',
    },
  ])('$id: $what', async ({ make, undo, id, severity, says, words = [] }) => {
    const { stdout, stderr } = await node.exec(['sh', '-c', make]);
    onTestFinished(async () => void (await node.exec(['sh', '-c', undo])));
    const report = await preflight(words);
    const found = report.findings.find((finding) => finding.id === id);
    expect(found, `${JSON.stringify(report.findings)} ${stdout}${stderr}`).toMatchObject({ severity, node: 'node-1' });
    expect(found?.evidence).toContain(says);
    expect([report.fit, report.exitCode]).toEqual(severity === 'error' ? [false, 1] : [true, 0]);
    await node.run(['sh', '-c', undo]);
    expect((await preflight(words)).findings.map((finding) => finding.id)).not.toContain(id);
  });

  test('a missing nft, and what the agent can do instead', async () => {
    const folder = '/run/programs';
    await node.run([
      'sh',
      '-c',
      `mkdir -p ${folder} && ln -sf ${process.execPath} ${folder}/node && ln -sf /bin/sh ${folder}/sh && ln -sf $(command -v env) ${folder}/env`,
    ]);
    const { findings, exitCode } = await preflight([], [], folder);
    expect(findings).toMatchObject([{ id: 'firewall-program-missing', severity: 'error' }, ...findings.slice(1)]);
    expect(exitCode).toBe(1);
  });

  test('a network that carries less than the interface’s MTU, and none where it carries all', async () => {
    await other.run(['ip', 'link', 'set', 'eth0', 'mtu', '1400']);
    onTestFinished(async () => void (await other.run(['ip', 'link', 'set', 'eth0', 'mtu', '1500'])));
    const { findings } = await preflight([other.address]);
    expect(findings).toMatchObject([{ id: 'path-mtu-too-small', severity: 'error' }, ...findings.slice(1)]);
    expect(findings[0]?.evidence).toContain(`packets of 1500 bytes to ${other.address} are lost, small ones arrive`);
    await other.run(['ip', 'link', 'set', 'eth0', 'mtu', '1500']);
    expect((await preflight([other.address])).findings.map(({ id }) => id)).not.toContain('path-mtu-too-small');
    // Nothing answers there, which says nothing about sizes.
    expect((await preflight(['192.168.50.99'])).findings.map(({ id }) => id)).not.toContain('path-mtu-too-small');
  });
});
