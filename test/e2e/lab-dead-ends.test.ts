// A packet to a pod address that no node has must be refused on the node, and the sender must get an error. It must not leave
// unencapsulated by the default route. An nftables rule counts the packets that do leave.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusReport } from '../../flanneld/health/status/report.ts';
import { LEASE_FOLDER, SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { failed } from '../lab/matrix.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent, requireBuilt } from '../lab/programs.ts';
import { LAUNCHER, writeLauncher } from '../lab/support/launcher-script.ts';
import { giveIpv6 } from '../lab/support/router.ts';
import { becomesRouted } from '../lab/support/routes.ts';

const LOOK_MS = 20_000;
/** The flags that the lab itself passes. */
const LAB_FLAGS = '"$@"';
const netConf = {
  EnableIPv6: true,
  Network: '10.244.0.0/16',
  IPv6Network: 'fd00:10:244::/48',
  Backend: { Type: 'vxlan' },
};
/** ENETUNREACH (for ICMPv6's "no route to destination") or EHOSTUNREACH. */
const UNREACHABLE = /^(101|113)$/;
const families = [
  { name: 'IPv4', family: 4 as const, nobody: '10.244.200.9', network: '10.244.0.0/16', gateway: '192.168.50.1' },
  { name: 'IPv6', family: 6 as const, nobody: 'fd00:10:244:c8::9', network: 'fd00:10:244::/48', gateway: 'fd00:50::1' },
];

let lab: Lab;
let node: LabNode;
let pod: LabPod;

beforeAll(async () => {
  lab = await startLab({ nodes: 2, netConf, agent: { start: false, file: LAUNCHER } });
  for (const each of lab.nodes) writeLauncher(each, [requireBuilt(builtAgent), LAB_FLAGS]);
  node = lab.node('node-1');
  for (const each of lab.nodes) await giveIpv6(each);
  for (const each of lab.nodes) await each.agent.start();
  for (const each of lab.nodes) await each.agent.ready();
  for (const family of [4, 6] as const) {
    for (const each of lab.nodes) await becomesRouted(each, 'its peer', (routes) => routes.length === 1, family);
  }
  for (const each of lab.nodes) await each.addPod();
  [pod] = node.pods as [LabPod];
  // The gateway need not exist, because packets towards it are counted before they leave.
  for (const { family, gateway } of families) {
    await node.exec(['ip', `-${family}`, 'route', 'replace', 'default', 'via', gateway, 'dev', 'eth0', 'onlink']);
    await node.run([
      'ip',
      'neigh',
      'replace',
      gateway,
      'lladdr',
      '02:00:00:00:00:fe',
      'dev',
      'eth0',
      'nud',
      'permanent',
    ]);
  }
  const rules = families.map(({ family, network }) => {
    const ip = family === 4 ? 'ip' : 'ip6';
    return `oifname "eth0" ${ip} daddr ${network} counter`;
  });
  const chain = `chain out { type filter hook postrouting priority 300; ${rules.join('; ')}; }\n`;
  await node.run(['nft', '-f', '-'], { input: `table inet probe { ${chain} }\n` });
});
afterAll(() => lab?.down());

/** The number of packets to the pod network that have left unencapsulated by the external interface. */
async function leaked(): Promise<number> {
  const text = await node.run(['nft', 'list', 'table', 'inet', 'probe']);
  return [...text.matchAll(/counter packets (\d+)/g)].reduce((sum, [, packets]) => sum + Number(packets), 0);
}

/** What a sender gets within a second: the number of an error, or `nothing`. */
async function told(from: Pick<LabPod, 'exec'>, to: string): Promise<string> {
  const program = [
    'import socket, sys',
    's = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)',
    's.settimeout(1)',
    // IP_RECVERR and IPV6_RECVERR: without these a UDP socket does not learn that a host is unreachable (ip(7)).
    's.setsockopt(*((41, 25, 1) if ":" in sys.argv[1] else (0, 11, 1)))',
    'try:',
    '  s.connect((sys.argv[1], 9)); s.send(b"x"); s.recv(1)',
    'except socket.timeout: print("nothing")',
    'except OSError as e: print(e.errno)',
  ].join('\n');
  return (await from.exec(['python3', '-c', program, to], { timeoutMs: 10_000 })).stdout.trim();
}

async function routes(family: 4 | 6): Promise<string> {
  return (await node.run(['ip', `-${family}`, 'route', 'show', 'type', 'unreachable', 'proto', '138'])).trim();
}

async function report(): Promise<StatusReport> {
  const argv = [process.execPath, builtAgent, 'status', '--json', `--subnet-file=${SUBNET_FILE}`];
  return JSON.parse((await node.exec(argv)).stdout) as StatusReport;
}

/** Restarts the agent with these additional flags, or without any. */
async function restart(...args: string[]): Promise<void> {
  await node.agent.stop();
  writeLauncher(node, [builtAgent, LAB_FLAGS, ...args]);
  await node.agent.start();
  await node.agent.ready();
}

describe.each(families)(
  'a packet to an address of the $name network that no node has',
  ({ family, nobody, network }) => {
    test('does not leave the node, and its sender gets an error', async () => {
      expect(await routes(family)).toMatch(new RegExp(`^unreachable ${network} .*metric 4294967294`));
      const before = await leaked();
      expect(await told(pod, nobody)).toMatch(UNREACHABLE);
      expect(await told(node, nobody)).toMatch(UNREACHABLE);
      expect(await leaked()).toBe(before);
      expect(failed(await lab.matrix())).toEqual([]);
    });

    test('has its route again after somebody removed it, and this is noted as drift', async () => {
      const before = (await report()).drift.entries.length;
      await node.run(['ip', `-${family}`, 'route', 'del', 'unreachable', network, 'metric', '4294967294']);
      await waitUntil(async () => (await routes(family)) !== '', LOOK_MS, 'the route');
      const entries = (await report()).drift.entries.slice(before);
      expect(entries).toMatchObject([{ object: 'route', what: `unreachable ${network}`, was: 'missing' }]);
    });
  },
);

describe('a node that itself needs an address of the network', () => {
  test.for([
    {
      name: 'an address of its own',
      harm: 'ip addr add 10.244.250.1/32 dev eth0',
      undo: 'ip addr del 10.244.250.1/32 dev eth0',
      want: 'address 10.244.250.1 of eth0',
    },
    {
      name: 'a gateway',
      harm: 'ip route add 172.31.0.0/16 via 10.244.250.1 dev eth0 onlink',
      undo: 'ip route del 172.31.0.0/16',
      want: 'gateway 10.244.250.1 of eth0',
    },
  ])('$name: still reaches it, reports it, and has the route again afterwards', async ({ harm, undo, want }) => {
    const check = async () => (await report()).checks.find(({ name }) => name === 'unreachable route of IPv4');
    await node.run(harm.split(' '));
    await waitUntil(async () => (await routes(4)) === '', LOOK_MS, 'no route');
    await waitUntil(async () => (await check()) !== undefined, LOOK_MS, 'the finding');
    expect((await check())?.problem).toContain(`because this node needs ${want} in it`);
    expect(await routes(6)).not.toBe('');
    expect((await report()).ready).toBe(true);
    await node.run(undo.split(' '));
    await waitUntil(async () => (await routes(4)) !== '' && (await check()) === undefined, LOOK_MS, 'the route again');
  });

  test('a DNS server that is known at the start', async () => {
    await node.run(['sh', '-c', 'rm -f /etc/resolv.conf; echo nameserver 10.244.0.10 >/etc/resolv.conf']);
    await restart();
    expect(await routes(4)).toBe('');
    const [check] = (await report()).checks.filter(({ name }) => name.startsWith('unreachable'));
    expect(check?.problem).toContain('this node needs DNS server 10.244.0.10 (/etc/resolv.conf) in it');
    await node.run(['sh', '-c', 'echo nameserver 192.168.50.1 >/etc/resolv.conf']);
    await restart();
    expect(await routes(4)).not.toBe('');
  });
});

test('a Service in the network, whose address kubelet gives to containers', async () => {
  await node.agent.stop();
  writeLauncher(node, ['env', 'KUBERNETES_SERVICE_HOST=10.244.0.1', builtAgent, LAB_FLAGS]);
  await node.agent.start();
  await node.agent.ready();
  expect(await routes(4)).toBe('');
  const [check] = (await report()).checks.filter(({ name }) => name.startsWith('unreachable'));
  expect(check?.problem).toContain('this node needs Service 10.244.0.1 (KUBERNETES_SERVICE_HOST) in it');
});

describe('control: without the route', () => {
  test('a flag removes the route, and such packets then leave by the default route without an error', async () => {
    await restart('--ip-unreachable-route=false');
    for (const { family, nobody } of families) {
      expect(await routes(family)).toBe('');
      const before = await leaked();
      expect(await told(pod, nobody)).toBe('nothing');
      expect(await leaked()).toBeGreaterThan(before);
    }
  });

  test('cleanup removes every such route', async () => {
    await restart();
    expect(await routes(4)).not.toBe('');
    await node.agent.stop();
    await node.run([builtAgent, 'cleanup', `--subnet-dir=${LEASE_FOLDER}`, '--node-name=node-1']);
    expect([await routes(4), await routes(6)]).toEqual(['', '']);
  });
});
