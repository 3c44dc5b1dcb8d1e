// The masquerade and forward rules in the real nftables: what nft lists is equal to what the agent compares with, and packets get the right
// source address.

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fingerprint, listingFingerprint } from '../../flanneld/firewall/listing.ts';
import { firewallTable, renderTable } from '../../flanneld/firewall/nft-table.ts';
import { tunnelTables } from '../../flanneld/firewall/tunnel-rules.ts';
import type { StatusReport } from '../../flanneld/health/status/report.ts';
import { parsePrefix } from '../../lib/ip.ts';
import { agentPid } from '../faults/agent-process.ts';
import { NET_CONF_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { failed } from '../lab/matrix.ts';
import { waitForMesh } from '../lab/mesh.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { slowed } from '../support/slowness.ts';

const LOOK_MS = 10_000;

let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  lab = await startLab({ nodes: 2, agent: { args: ['--ip-blackhole-route', '--iptables-resync=1'] } });
  node = lab.node('node-1');
  await waitForMesh(lab.nodes);
  for (const each of lab.nodes) await each.addPod();
});
afterAll(() => lab?.down());

async function nft(...words: string[]): Promise<string> {
  return await node.run(['nft', ...words]);
}

async function rules(): Promise<string> {
  return (await node.exec(['nft', 'list', 'table', 'ip', 'weft'])).stdout;
}

describe('our tables as this nft lists them', () => {
  test.for([
    { name: 'IPv4', family: 4 as const, network: '10.244.0.0/16', subnet: '10.244.1.0/24', random: true },
    { name: 'IPv4, plain ports', family: 4 as const, network: '10.244.0.0/16', subnet: '10.244.1.0/24', random: false },
    { name: 'IPv6', family: 6 as const, network: 'fd00:10:244::/48', subnet: 'fd00:10:244:1::/64', random: true },
    { name: 'an odd prefix', family: 4 as const, network: '10.244.0.0/15', subnet: '10.244.1.64/26', random: true },
  ])('are equal to what is compared: $name', async ({ family, network, subnet, random }) => {
    const config = { family, vni: 1, network: parsePrefix(network), subnet: parsePrefix(subnet) };
    const wanted = firewallTable({
      ...config,
      masquerade: true,
      nonMasquerade: [],
      forward: true,
      fullyRandom: random,
    });
    // A table with another name, so that the agent's own stays.
    const table = { ...wanted, name: 'probe' };
    await node.run(['nft', '-f', '-'], { input: renderTable(table) });
    const listed = await nft('-j', 'list', 'table', table.family, 'probe');
    expect(listingFingerprint(listed)).toBe(fingerprint(wanted));
    await nft('delete', 'table', table.family, 'probe');
  });
});

describe('the tables about the tunnel as this nft lists them', () => {
  const dual = ['10.244.0.0/16', 'fd00:10:244::/48'].map(parsePrefix);
  const subnets = ['10.244.1.0/24', 'fd00:10:244:1::/64'].map(parsePrefix);
  test.for([
    { name: 'counting', mode: 'count' as const, seesMacs: true, isVxlan: true, families: 2 },
    { name: 'enforcing, one family', mode: 'enforce' as const, seesMacs: true, isVxlan: true, families: 1 },
    { name: 'an nft that takes no raw bits', mode: 'count' as const, seesMacs: false, isVxlan: true, families: 1 },
    { name: 'the udp backend', mode: 'enforce' as const, seesMacs: false, isVxlan: false, families: 1 },
    { name: 'no guard', mode: undefined, seesMacs: false, isVxlan: true, families: 2 },
  ])('are equal to what is compared: $name', async ({ mode, seesMacs, isVxlan, families }) => {
    const tables = tunnelTables({
      vni: 1,
      devices: ['flannel.1', 'flannel-v6.1'].slice(0, families),
      bridge: 'cni0',
      networks: dual.slice(0, families),
      subnets: subnets.slice(0, families),
      guard: mode && { mode, port: 8472, isVxlan, seesMacs },
    });
    for (const wanted of tables) {
      const table = { ...wanted, name: 'probe' };
      const elements = new Map(mode === undefined || table.family === 'arp' ? [] : [['peers4', ['10.0.0.1']]]);
      await node.run(['nft', '-f', '-'], { input: renderTable(table, elements) });
      const listed = await nft('-j', 'list', 'table', table.family, 'probe');
      expect(listingFingerprint(listed)).toBe(fingerprint(wanted));
      await nft('delete', 'table', table.family, 'probe');
    }
  });
});

describe('the agent', () => {
  test('makes no masquerade for IPv6, which is off', async () => {
    expect((await nft('list', 'tables')).split('\n')).not.toContain('table ip6 weft');
  });

  test.for([
    { name: 'the table', harm: ['delete', 'table', 'ip', 'weft'] },
    { name: 'everything', harm: ['flush', 'ruleset'] },
    { name: 'the rules of a chain', harm: ['flush', 'chain', 'ip', 'weft', 'postrouting'] },
    { name: 'the order, by a rule in front', harm: ['insert', 'rule', 'ip', 'weft', 'forward', 'drop'] },
    { name: 'that there is no set', harm: ['add', 'set', 'ip', 'weft', 'x', '{ type ipv4_addr; }'] },
  ])('restores $name', async ({ harm }) => {
    const before = await rules();
    await nft(...harm);
    await waitUntil(async () => (await rules()) === before, LOOK_MS, 'the rules of before');
  });

  test('logs and notes each repair of rules with a short command', async () => {
    const logged = [...node.agent.log().matchAll(/"cmd":"((?:[^"\\\\]|\\\\.)*)"/g)].map(([, cmd = '']) => cmd);
    const report = JSON.parse(await node.run([builtAgent, 'status', '--json'])) as StatusReport;
    const noted = report.drift.entries.map(({ cmd }) => cmd ?? '');
    expect(Math.min(logged.length, noted.length)).toBeGreaterThan(3);
    expect([...logged, ...noted].filter((cmd) => /^(nft|printf|ip6?tables)/.test(cmd) && cmd.length > 250)).toEqual([]);
  });

  test('leaves correct rules alone over a restart, and ignores changes of other tables', async () => {
    const handles = await nft('-a', 'list', 'table', 'ip', 'weft');
    await node.agent.stop();
    await node.agent.start();
    await node.agent.ready();
    await nft('add', 'table', 'ip', 'somebody');
    await nft('delete', 'table', 'ip', 'somebody');
    expect(await nft('-a', 'list', 'table', 'ip', 'weft')).toBe(handles);
  });

  test('starts no program to check rules that nobody has changed', async () => {
    const pid = await agentPid(node);
    // Field 11 is cminflt, the page faults of children that have ended (proc(5)).
    const childFaults = (): number => {
      const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
      return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[8]);
    };
    const looks = async (): Promise<number> => {
      const { body } = await node.agent.http('/metrics');
      return Number(/^flannel_reconcile_duration_seconds_count\{loop="firewall"\} (\d+)$/m.exec(body)?.[1]);
    };
    const moreLooks = async (): Promise<void> => {
      const before = await looks();
      await waitUntil(async () => (await looks()) > before + 1, LOOK_MS, 'two more looks');
    };
    await moreLooks();
    const before = childFaults();
    await moreLooks();
    expect(childFaults()).toBe(before);
    const rulesBefore = await rules();
    await nft('flush', 'chain', 'ip', 'weft', 'postrouting');
    await waitUntil(() => childFaults() > before, LOOK_MS, 'a look with nft');
    await waitUntil(async () => (await rules()) === rulesBefore, LOOK_MS, 'the rules of before');
  });

  test('keeps a blackhole for its subnet behind the bridge’s own route', async () => {
    const shown = async (): Promise<string> => (await node.run(['ip', 'route', 'show', 'type', 'blackhole'])).trim();
    const before = await shown();
    expect(before).toMatch(/^blackhole 10\.244\.\d+\.0\/24 proto 138 metric 4294967294$/);
    await node.run(['ip', 'route', 'del', ...before.split(' ')]);
    await waitUntil(async () => (await shown()) === before, LOOK_MS, 'the blackhole again');
    expect(failed(await lab.matrix())).toEqual([]);
  });

  test('takes over from flannel’s nftables mode', async () => {
    await node.agent.stop();
    await nft('add', 'table', 'ip', 'flannel-ipv4');
    await nft('add', 'table', 'ip6', 'flannel-ipv6');
    await node.agent.start();
    await node.agent.ready();
    const tables = await nft('list', 'tables');
    // flannel would create both tables although IPv6 is off.
    expect(tables).not.toContain('flannel');
  });
});

describe('what a packet’s source address becomes', () => {
  let count = 0;
  type Run = (argv: readonly string[], options?: { timeoutMs: number }) => Promise<{ readonly stdout: string }>;

  /**
   * The source address that a receiver with address `ip` sees in datagrams that `send` sends from node 1 or its pod. `bind` is what
   * the sender does first.
   */
  async function seen(ip: string, listen: Run, send: Run, bind = 'pass'): Promise<string> {
    const heardFile = `/run/heard-${++count}`;
    const listener = [
      'import socket',
      's = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)',
      "s.bind(('0.0.0.0', 5555))",
      `s.settimeout(${slowed(10)})`,
      'print(s.recvfrom(10)[1][0])',
    ];
    const sender = [
      'import os, socket, time',
      's = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)',
      bind,
      `while not os.path.exists("${heardFile}"):`,
      `  s.sendto(b"x", ("${ip}", 5555))`,
      '  time.sleep(0.02)',
    ];
    const heard = listen(['python3', '-c', listener.join('\n')], { timeoutMs: 15_000 });
    const sent = send(['python3', '-c', sender.join('\n')]);
    try {
      return (await heard).stdout.trim();
    } finally {
      node.writeFile(heardFile, '');
      await sent;
    }
  }

  function pods(): { one: Lab['pods'][number]; two: Lab['pods'][number] } {
    const [one, two] = lab.pods;
    if (one === undefined || two === undefined) throw new Error('two pods were made');
    return { one, two };
  }

  test('pod to remote pod: its own address', async () => {
    const { one, two } = pods();
    expect(await seen(two.ip, two.exec.bind(two), one.exec.bind(one))).toBe(one.ip);
  });

  test('D23: node, from its underlay address, to a remote pod: the tunnel’s address, so that the answer comes back', async () => {
    const { two } = pods();
    const bind = `s.bind(("${node.address}", 0))`;
    const [own] = JSON.parse(await node.run(['ip', '-j', '-4', 'addr', 'show', 'flannel.1'])) as {
      addr_info: { local: string }[];
    }[];
    expect(await seen(two.ip, two.exec.bind(two), node.exec.bind(node), bind)).toBe(own?.addr_info[0]?.local);
  });

  test('pod to another node: its node’s address, and the pod’s own where NonMasqueradeCIDRs says so', async () => {
    const { one } = pods();
    const other = lab.node('node-2');
    const asSeen = (): Promise<string> => seen(other.address, other.exec.bind(other), one.exec.bind(one));
    expect(await asSeen()).toBe(node.address);
    const netConf = JSON.parse(node.readFile(NET_CONF_FILE)) as object;
    await node.agent.stop();
    node.writeFile(
      NET_CONF_FILE,
      JSON.stringify({ ...netConf, NonMasqueradeCIDRs: ['10.0.0.0/8', '192.168.50.0/24'] }),
    );
    await node.agent.start();
    await node.agent.ready();
    expect(await asSeen()).toBe(one.ip);
    node.writeFile(NET_CONF_FILE, JSON.stringify(netConf));
  });
});
