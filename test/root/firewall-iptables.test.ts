// The rules written by iptables, with both of its variants: they are listed like flannel's, are restored whatever happens to them, follow a
// change between nftables and iptables, and allow forwarding where iptables would refuse it.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusReport } from '../../flanneld/health/status/report.ts';
import { LEASE_FOLDER, NET_CONF_FILE, SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { failed } from '../lab/matrix.ts';
import { waitForMesh } from '../lab/mesh.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';

const LOOK_MS = 10_000;
const NETWORK = { Network: '10.244.0.0/16', Backend: { Type: 'vxlan' } };
const masq = '-m comment --comment "flanneld masq"';
const forward = '-m comment --comment "flanneld forward"';

let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  lab = await startLab({ nodes: 2, netConf: { ...NETWORK, EnableNFTables: false } });
  node = lab.node('node-1');
  await waitForMesh(lab.nodes);
  for (const each of lab.nodes) await each.addPod();
});
afterAll(() => lab?.down());

/** The lines of iptables-save about flannel's chains. */
async function flannelLines(program = 'iptables-nft'): Promise<string[]> {
  const saved = await node.run([`${program}-save`]);
  return saved.split('\n').filter((line) => line.includes('FLANNEL'));
}

function subnet(of: LabNode): string {
  return `${/^FLANNEL_SUBNET=(.*)\.1\/24$/m.exec(of.readFile(SUBNET_FILE))?.[1]}.0/24`;
}

async function restartWith(netConf: object, started = true): Promise<void> {
  await node.agent.stop();
  node.writeFile(NET_CONF_FILE, JSON.stringify(netConf));
  await node.agent.start();
  if (started) await node.agent.ready();
}

describe('where EnableNFTables is false', () => {
  test('the chains are those of flannel, and nftables has no table of ours for them', async () => {
    const own = subnet(node);
    expect(await flannelLines()).toEqual([
      ':FLANNEL-FWD - [0:0]',
      `-A FORWARD ${forward} -j FLANNEL-FWD`,
      `-A FLANNEL-FWD -s 10.244.0.0/16 ${forward} -j ACCEPT`,
      `-A FLANNEL-FWD -d 10.244.0.0/16 ${forward} -j ACCEPT`,
      ':FLANNEL-POSTRTG - [0:0]',
      `-A POSTROUTING ${masq} -j FLANNEL-POSTRTG`,
      `-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 ${masq} -j RETURN`,
      `-A FLANNEL-POSTRTG -s ${own} -d 10.244.0.0/16 ${masq} -j RETURN`,
      `-A FLANNEL-POSTRTG -s 10.244.0.0/16 -d ${own} ${masq} -j RETURN`,
      `-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d ${own} ${masq} -j RETURN`,
      `-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 ${masq} -j MASQUERADE --random-fully`,
      `-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.0.0/16 ${masq} -j MASQUERADE --random-fully`,
    ]);
    // nftables has the tunnel's rules, which iptables cannot express.
    expect((await node.run(['nft', 'list', 'tables'])).match(/^table \S+ weft$/gm)).toEqual([
      'table inet weft',
      'table arp weft',
    ]);
    expect(await node.run(['ip6tables-nft-save'])).not.toContain('FLANNEL');
    expect(failed(await lab.matrix())).toEqual([]);
    const status = await node.run([builtAgent, 'status']);
    expect(status).toMatch(/^firewall +iptables \(EnableNFTables is false; iptables-nft: iptables is that\)$/m);
    expect(status).toMatch(/^rules in +chain nat FLANNEL-POSTRTG \(iptables-nft\), chain filter FLANNEL-FWD/m);
    expect((await node.agent.http('/metrics')).body).toContain('flannel_firewall_info{flavour="iptables"} 1');
  });

  test.for([
    { name: 'the rules of a chain', harm: 'iptables -t nat -F FLANNEL-POSTRTG' },
    { name: 'one rule', harm: 'iptables -t nat -D FLANNEL-POSTRTG 5' },
    { name: 'the order', harm: 'iptables -I FLANNEL-FWD 1 -j DROP' },
    { name: 'the jump', harm: 'iptables -F FORWARD' },
    { name: 'that the jump is there once', harm: `iptables -I FORWARD -j FLANNEL-FWD` },
    { name: 'all of a table', harm: 'nft delete table ip nat' },
    { name: 'everything', harm: 'nft flush ruleset' },
  ])('D25: restores $name', async ({ harm }) => {
    const before = await flannelLines();
    await node.run(harm.split(' '));
    await waitUntil(async () => (await flannelLines()).join() === before.join(), LOOK_MS, 'the rules of before');
  });

  test('logs and notes each repair of rules with a short command', async () => {
    const logged = [...node.agent.log().matchAll(/"cmd":"((?:[^"\\\\]|\\\\.)*)"/g)].map(([, cmd = '']) => cmd);
    const report = JSON.parse(await node.run([builtAgent, 'status', '--json'])) as StatusReport;
    const noted = report.drift.entries.map(({ cmd }) => cmd ?? '');
    expect(Math.min(logged.length, noted.length)).toBeGreaterThan(3);
    expect([...logged, ...noted].filter((cmd) => /^(nft|printf|ip6?tables)/.test(cmd) && cmd.length > 250)).toEqual([]);
  });

  test('D25: the ledger and the metrics count the repairs', async () => {
    const before = await flannelLines();
    const counted = async (): Promise<number> =>
      Number(/repaired_total\{object="firewall"\} (\d+)/.exec((await node.agent.http('/metrics')).body)?.[1]);
    const was = await counted();
    await node.run(['iptables', '-t', 'nat', '-F', 'FLANNEL-POSTRTG']);
    await waitUntil(async () => (await counted()) > was, LOOK_MS, 'the count');
    // Waits for the rules themselves, because the counted repair may be an earlier one.
    await waitUntil(async () => (await flannelLines()).join() === before.join(), LOOK_MS, 'the rules of before');
  });

  test('the guard knows its peers, is put back, and is reported where nftables cannot be used', async () => {
    const set = async (): Promise<string> => (await node.exec(['nft', 'list', 'set', 'inet', 'weft', 'peers4'])).stdout;
    const before = await set();
    for (const { address } of lab.nodes) expect(before).toContain(address);
    await node.run(['nft', 'delete', 'table', 'inet', 'weft']);
    await waitUntil(async () => (await set()) === before, LOOK_MS, 'the table');
    await node.agent.stop();
    // Replaces nft by a script with the error of a kernel without nftables.
    const nft = (await node.run(['sh', '-c', 'readlink -f "$(command -v nft)"'])).trim();
    node.writeFile('/run/no-nftables', '#!/bin/sh\necho "nft: Operation not supported" >&2\nexit 1\n');
    await node.run(['chmod', '755', '/run/no-nftables']);
    await node.run(['mount', '--bind', '/run/no-nftables', nft]);
    await node.agent.start();
    await node.agent.ready();
    expect((await node.agent.http('/readyz?verbose')).body).toMatch(/^\[!\] guard: off, .*Operation not supported/m);
    expect(await node.run([builtAgent, 'status'])).toMatch(/^guard +off; /m);
    await node.agent.stop();
    await node.run(['umount', nft]);
    await node.agent.start();
    await node.agent.ready();
    expect(await set()).toBe(before);
  });

  test('the jump is put before a rule that refuses everything, and that rule stays', async () => {
    await node.run(['iptables', '-A', 'FORWARD', '-j', 'REJECT']);
    await node.run(['iptables', '-D', 'FORWARD', ...forwardJump()]);
    const rules = async (): Promise<string[]> => (await node.run(['iptables', '-S', 'FORWARD'])).trim().split('\n');
    await waitUntil(async () => (await rules()).length === 3, LOOK_MS, 'the jump');
    expect((await rules()).slice(1)).toEqual([
      `-A FORWARD ${forward} -j FLANNEL-FWD`,
      '-A FORWARD -j REJECT --reject-with icmp-port-unreachable',
    ]);
    expect(failed(await lab.matrix())).toEqual([]);
    await node.run(['iptables', '-D', 'FORWARD', '-j', 'REJECT']);
  });

  test('a restart changes nothing of what is right', async () => {
    await node.run(['iptables', '-t', 'nat', '-Z']);
    const handles = await node.run(['nft', '-a', 'list', 'chain', 'ip', 'nat', 'FLANNEL-POSTRTG']);
    await restartWith({ ...NETWORK, EnableNFTables: false });
    const after = await node.run(['nft', '-a', 'list', 'chain', 'ip', 'nat', 'FLANNEL-POSTRTG']);
    const withoutCounters = (text: string): string => text.replace(/packets \d+ bytes \d+/g, '');
    expect(withoutCounters(after)).toBe(withoutCounters(handles));
  });
});

function forwardJump(): string[] {
  return ['-m', 'comment', '--comment', 'flanneld forward', '-j', 'FLANNEL-FWD'];
}

describe('a change from one variant to the other', () => {
  test('D26: leaves nothing of the chains and jumps, including flannel’s own of both variants', async () => {
    await node.agent.stop();
    const flannels = [
      '*nat',
      ':FLANNEL-POSTRTG - [0:0]',
      `-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 ${masq} -j MASQUERADE`,
      `-A POSTROUTING ${masq} -j FLANNEL-POSTRTG`,
      'COMMIT',
      '*filter',
      ':FLANNEL-FWD - [0:0]',
      `-A FLANNEL-FWD -s 10.244.0.0/16 ${forward} -j ACCEPT`,
      `-A FORWARD ${forward} -j FLANNEL-FWD`,
      '-A FORWARD -s 10.1.0.0/16 -j ACCEPT',
      'COMMIT',
      '',
    ].join('\n');
    await node.run(['iptables-legacy-restore'], { input: flannels });
    await restartWith(NETWORK);
    expect(await flannelLines()).toEqual([]);
    expect(await flannelLines('iptables-legacy')).toEqual([]);
    expect(await node.run(['iptables-legacy', '-S', 'FORWARD'])).toContain('-A FORWARD -s 10.1.0.0/16 -j ACCEPT');
    expect(await node.run(['nft', 'list', 'tables'])).toContain('table ip weft');
    await node.run(['iptables-legacy', '-F']);
    expect(failed(await lab.matrix())).toEqual([]);
  });

  test.for([
    { name: 'by its policy', harm: '-P FORWARD DROP', undo: '-P FORWARD ACCEPT' },
    { name: 'by its last rule', harm: '-A FORWARD -j REJECT', undo: '-D FORWARD -j REJECT' },
  ])('D24: with nftables, pods are reached where iptables refuses forwarding $name', async ({ harm, undo }) => {
    await node.run(['iptables-nft', ...harm.split(' ')]);
    const jumps = async (): Promise<number> =>
      (await flannelLines()).filter((line) => line.startsWith('-A FORWARD')).length;
    await waitUntil(async () => (await jumps()) === 1, LOOK_MS, 'the accepts in iptables');
    expect(failed(await lab.matrix())).toEqual([]);
    await node.run(['iptables-nft', ...undo.split(' ')]);
    await waitUntil(async () => (await flannelLines()).length === 0, LOOK_MS, 'no accepts in iptables');
  });

  test('D24: another rule that refuses forwarding is named, and the node is ready only without it', async () => {
    await node.run([
      'nft',
      'add table inet strict; add chain inet strict onward { type filter hook forward priority 5; policy drop; }',
    ]);
    await restartWith(NETWORK, false);
    const named = /\[-\] .*refused by the policy drop of chain inet strict onward: nft insert rule inet strict onward/;
    const readyz = async (): Promise<string> =>
      (await node.agent.http('/readyz?verbose').catch(() => ({ body: '' }))).body;
    await waitUntil(async () => named.test(await readyz()), LOOK_MS, 'the finding');
    await node.run(['nft', 'delete', 'table', 'inet', 'strict']);
    await node.agent.ready();
  });

  test('back to iptables: our table and flannel’s are gone when the chains exist', async () => {
    await node.run(['nft', 'add', 'table', 'ip', 'flannel-ipv4']);
    await node.run(['nft', 'add', 'table', 'ip6', 'flannel-ipv6']);
    await restartWith({ ...NETWORK, EnableNFTables: false });
    expect(await flannelLines()).toHaveLength(12);
    expect(await node.run(['nft', 'list', 'tables'])).not.toMatch(/table ip6? weft|flannel/);
  });

  test('cleanup removes the chains', async () => {
    await node.agent.stop();
    const said = await node.run([builtAgent, 'cleanup', '--subnet-dir=/run/none']).catch(String);
    expect(said).toContain('  chain nat FLANNEL-POSTRTG (iptables-nft)\n  chain filter FLANNEL-FWD (iptables-nft)\n');
    expect(await flannelLines()).toEqual([]);
  });
});

describe('the programs', () => {
  const LEGACY = ['iptables-legacy-save', 'iptables-legacy-restore'];

  test('of iptables-legacy alone: the rules are made, and are put back without an event', async () => {
    await runAgent(await folderOf('/opt/legacy-only', [...LEGACY, 'nft']), async () => {
      await waitUntil(async () => (await flannelLines('iptables-legacy')).length === 12, LOOK_MS, 'the rules');
      const before = await flannelLines('iptables-legacy');
      await node.run(['iptables-legacy', '-t', 'nat', '-F', 'FLANNEL-POSTRTG']);
      await waitUntil(
        async () => (await flannelLines('iptables-legacy')).join() === before.join(),
        LOOK_MS,
        'the rules again',
      );
    });
    expect(await flannelLines('iptables-nft')).toEqual([]);
    await node.run(['iptables-legacy', '-t', 'nat', '-F']);
  });

  test.for([
    { name: 'without nft: the guard is off and said to be, and the node is ready', programs: [], finding: true },
    { name: 'control with nft: nothing is said of the guard', programs: ['nft'], finding: false },
  ])('of iptables-legacy $name', async ({ programs, finding }) => {
    await node.run(['sh', '-c', 'nft delete table inet weft; nft delete table arp weft; true']);
    await runAgent(await folderOf(`/opt/legacy-${programs.length}`, [...LEGACY, ...programs]), async () => {
      await waitUntil(async () => (await readyz()).includes('flanneld is ready'), LOOK_MS, 'an agent that is ready');
      expect(await flannelLines('iptables-legacy')).toHaveLength(12);
      const off = /\[!\] guard: off, so pods and strangers can change routes and neighbours: .*nft/;
      expect(off.test(await readyz())).toBe(finding);
      expect((await node.run(['nft', 'list', 'tables'])).includes('table inet weft')).toBe(!finding);
    });
    await node.run(['iptables-legacy', '-t', 'nat', '-F']);
  });

  test('which are missing are named, with the folders that were searched, and the node is not ready', async () => {
    await runAgent('/opt/none', async () => {
      const looked =
        /\[-\] firewall: firewall: find iptables: ENOENT \(none of iptables-nft-save, .*iptables-restore is in PATH \(\/opt\/none\); install iptables/;
      await waitUntil(async () => looked.test(await readyz()), LOOK_MS, 'the reason');
    });
  });

  test('of iptables-legacy without NET_RAW: this is reported by name, and the node is ready all the same', async () => {
    const { exitCode } = await node.exec(['grep', '-q', '.', '/proc/net/ip_tables_names']);
    expect(exitCode).toBe(0);
    const withoutRaw = ['setpriv', '--bounding-set', '-net_raw', '--inh-caps', '-net_raw'];
    node.writeFile(NET_CONF_FILE, JSON.stringify(NETWORK));
    await runAgent(
      process.env['PATH'] ?? '',
      async () => {
        await waitUntil(async () => (await readyz()).includes('flanneld is ready'), LOOK_MS, 'an agent that is ready');
        expect(await readyz()).toContain(
          '[!] iptables-legacy: it is in use on this node, and only a program with the capability NET_RAW can read its chains',
        );
      },
      withoutRaw,
    );
    const said = await node.run([...withoutRaw, builtAgent, 'cleanup', '--subnet-dir=/run/none']);
    expect(said).toContain('  chains of iptables-legacy (stays: ');
  });

  /** A folder of links to programs, as the PATH of an agent. */
  async function folderOf(folder: string, programs: readonly string[]): Promise<string> {
    await node.run(['mkdir', '-p', folder]);
    for (const name of programs) await node.run(['ln', '-sf', `/usr/sbin/${name}`, `${folder}/${name}`]);
    return folder;
  }

  async function readyz(): Promise<string> {
    // Uses bash, because a fresh machine has no curl.
    const get = 'exec 3<>/dev/tcp/127.0.0.1/10999; printf "GET /readyz?verbose HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3';
    return (await node.exec(['bash', '-c', get])).stdout;
  }

  /** Runs an agent on this node with another PATH while `body` runs. `by` is a command that starts it. */
  async function runAgent(path: string, body: () => Promise<void>, by: readonly string[] = []): Promise<void> {
    const flags = [
      '--iface=eth0',
      `--subnet-dir=${LEASE_FOLDER}`,
      '--ip-masq',
      '--iptables-resync=1',
      '--node-name=node-1',
    ];
    const health = ['--healthz-ip=127.0.0.1', '--healthz-port=10999'];
    const command = ['exec', ...by, 'env', `PATH=${path}`, process.execPath, builtAgent, ...flags, ...health].join(' ');
    await node.run(['sh', '-c', `(${command}) >/run/other.log 2>&1 & echo $! >/run/other.pid`]);
    try {
      await body();
    } finally {
      await node.run([
        'sh',
        '-c',
        'pid=$(cat /run/other.pid); kill $pid; while kill -0 $pid 2>&-; do sleep 0.05; done',
      ]);
    }
  }
});
