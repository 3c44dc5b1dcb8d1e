// In Node and in a static executable, the same TypeScript creates every object of the data plane with the same bytes, and the kernel, ip
// and bridge agree about the result.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { waitUntil } from '../lab/processes.ts';
import { compileProgram, type Executable } from '../support/executable.ts';
import { type HeldNetns, holdNetns } from '../support/held-netns.ts';
import { compileForNode, type NodeProgram } from '../support/node-program.ts';
import { slowed } from '../support/slowness.ts';

const FIXTURES = join(import.meta.dirname, 'fixtures');
const MAC = '02:00:00:00:01:02';
const LINK_SCOPE = 253;
const IFF_RUNNING = 0x40;
const IFF_LOWER_UP = 0x10000;
const SETTLE_MS = 30_000;

let executable: Executable;
let nodeProgram: NodeProgram;

beforeAll(async () => {
  executable = await compileProgram(join(FIXTURES, 'objects.ts'));
  nodeProgram = await compileForNode(join(FIXTURES, 'objects-node.ts'));
}, slowed(120_000));
afterAll(() => {
  executable?.remove();
  nodeProgram?.remove();
});

const ENGINES = [{ engine: 'Node' }, { engine: 'the executable' }];

function commandFor(engine: string): string[] {
  return engine === 'Node' ? [process.execPath, nodeProgram.path] : [executable.path];
}

async function netns(): Promise<HeldNetns> {
  const held = await holdNetns();
  onTestFinished(held.remove);
  return held;
}

/** Runs objects-program.ts inside a namespace and returns its report. */
function runIn<T>(host: HeldNetns, engine: string, ...args: string[]): T {
  const enter = ['-t', String(host.pid), '-n', ...commandFor(engine), ...args];
  const { status, stdout, stderr } = spawnSync('nsenter', enter, { encoding: 'utf8', maxBuffer: 1 << 28 });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout) as T;
}

type Item = Record<string, unknown>;
interface ObjectsReport {
  sent: string[];
  commands: string[];
  podCommands: string[];
  peerIndex: number;
  listed: Record<string, Item[]>;
  pod: { links: Item[]; addresses: Item[] };
  removed: { first: string[]; second: string[]; left: Item[][] };
}

/** The report without what the kernel chooses at random or decides later: a MAC, carrier and state, link-local addresses. */
function comparable(report: ObjectsReport | undefined): unknown {
  return JSON.parse(JSON.stringify({ ...report, sent: [] }), (_, value: unknown) => {
    if (Array.isArray(value)) return value.filter((item: Item) => item['scope'] !== LINK_SCOPE || 'table' in item);
    const item = value as Item | null;
    if (item?.['operState'] === undefined) return value;
    const flags = Number(item['flags']) & ~(IFF_RUNNING | IFF_LOWER_UP);
    const mac = item['name'] === 'flannel-v6.1' ? 'drawn' : item['mac'];
    return { ...item, flags, mac, operState: 'any' };
  });
}

test('both engines send the same bytes and read the same answers', async () => {
  const reports: ObjectsReport[] = [];
  for (const { engine } of ENGINES) {
    const [host, pod] = [await netns(), await netns()];
    reports.push(runIn<ObjectsReport>(host, engine, 'objects', pod.path));
  }
  const [inNode, inExecutable] = reports;
  expect(inNode?.sent.length).toBeGreaterThan(30);
  expect(inExecutable?.sent).toEqual(inNode?.sent);
  expect(comparable(inExecutable)).toEqual(comparable(inNode));
});

describe.for(ENGINES)('the objects that $engine makes', ({ engine }) => {
  let host: HeldNetns;
  let pod: HeldNetns;
  let report: ObjectsReport;

  beforeAll(async () => {
    [host, pod] = [await holdNetns(), await holdNetns()];
    report = runIn<ObjectsReport>(host, engine, 'keep', pod.path);
  });
  afterAll(() => {
    host?.remove();
    pod?.remove();
  });

  const link = (name: string): Item => {
    const [found] = host.json('ip', '-d', '-j', 'link', 'show', 'dev', name);
    if (found === undefined) throw new Error(`ip shows no ${name}`);
    return found;
  };

  test('is a bridge with its MAC and MTU, up', () => {
    expect(link('cni0')).toMatchObject({
      address: '02:00:00:00:00:01',
      mtu: 1400,
      flags: expect.arrayContaining(['UP']),
      linkinfo: { info_kind: 'bridge' },
    });
  });

  test('is a veth pair, its peer inside the other namespace, its port set', () => {
    expect(link('veth0')).toMatchObject({
      address: '0a:59:0a:f4:01:02',
      mtu: 1400,
      master: 'cni0',
      link_index: report.peerIndex,
      flags: expect.arrayContaining(['UP']),
      linkinfo: {
        info_kind: 'veth',
        info_slave_kind: 'bridge',
        info_slave_data: { hairpin: true, isolated: true, learning: true },
      },
    });
    expect(pod.json('ip', '-d', '-j', 'link', 'show', 'dev', 'eth0')).toMatchObject([
      { ifindex: report.peerIndex, address: '0a:58:0a:f4:01:02', mtu: 1400, operstate: 'UP' },
    ]);
    expect(pod.json('ip', '-j', '-4', 'addr', 'show', 'dev', 'eth0')).toMatchObject([
      { addr_info: [{ local: '10.244.1.2', prefixlen: 24, broadcast: '10.244.1.255' }] },
    ]);
    expect(pod.json('ip', '-j', 'route')).toMatchObject([
      { dst: 'default', gateway: '10.244.1.1', dev: 'eth0' },
      { dst: '10.244.0.0/16', gateway: '10.244.1.1', dev: 'eth0' },
      { dst: '10.244.1.0/24', dev: 'eth0' },
    ]);
  });

  test('are VTEPs as flannel makes them, and one with everything else set', () => {
    // ip does not show a queue length of 0.
    expect(link('flannel.1')).not.toHaveProperty('txqlen');
    expect(link('flannel.1')).toMatchObject({
      address: '02:00:00:00:01:01',
      mtu: 1350,
      qdisc: 'noqueue',
      linkinfo: {
        info_kind: 'vxlan',
        info_data: { id: 1, local: '10.244.1.1', link: 'cni0', port: 8472, learning: false, udp_csum: true },
      },
    });
    expect(link('flannel-v6.1')).toMatchObject({
      linkinfo: {
        info_data: { id: 1, local6: 'fd00:1::1', learning: true, gbp: true, udp_csum: false, ttl: 9 },
      },
    });
  });

  test('are addresses', () => {
    const addressesOf = (dev: string): Item[] => {
      const [shown] = host.json('ip', '-j', 'addr', 'show', 'dev', dev);
      return ((shown?.['addr_info'] ?? []) as Item[]).filter(({ scope }) => scope === 'global');
    };
    expect(addressesOf('cni0')).toMatchObject([
      { local: '10.244.1.1', prefixlen: 24, broadcast: '10.244.1.255' },
      { local: 'fd00:1::1', prefixlen: 64, nodad: true },
    ]);
    expect(addressesOf('flannel.1')).toMatchObject([
      { local: '10.244.1.0', prefixlen: 32 },
      { local: 'fd00:1::', prefixlen: 128 },
    ]);
  });

  test('are neighbours and an FDB entry', () => {
    expect(host.json('ip', '-j', 'neigh', 'show', 'dev', 'flannel.1', 'nud', 'permanent')).toEqual([
      { dst: '10.244.2.0', lladdr: MAC, state: ['PERMANENT'] },
      { dst: 'fd00:2::', lladdr: MAC, state: ['PERMANENT'] },
    ]);
    expect(host.json('bridge', '-j', 'fdb', 'show', 'dev', 'flannel.1')).toMatchObject([
      { mac: MAC, dst: '192.168.50.12', flags: ['self'], state: 'permanent' },
    ]);
  });

  test('are next hops and routes over them, on link, direct, blackhole', () => {
    expect(host.json('ip', '-j', 'nexthop')).toMatchObject([
      { id: 5, gateway: '10.244.2.0', dev: 'flannel.1', protocol: '138', flags: ['onlink'] },
      { id: 6, gateway: 'fd00:2::', dev: 'flannel.1', protocol: '138', flags: ['onlink'] },
    ]);
    expect(host.json('ip', '-j', 'route', 'show', 'dev', 'flannel.1')).toMatchObject([
      { dst: '10.244.2.0/24', nhid: 5, gateway: '10.244.2.0', protocol: '138', flags: ['onlink'] },
      { dst: '10.244.3.0/24', gateway: '10.244.3.0', flags: ['onlink'] },
      { dst: '10.244.4.0/24', protocol: '138', scope: 'link', metric: 7, metrics: [{ mtu: 1300 }] },
    ]);
    expect(host.json('ip', '-j', '-6', 'route', 'show', 'proto', '138')).toMatchObject([
      { dst: 'fd00:2::/64', nhid: 6, gateway: 'fd00:2::', dev: 'flannel.1', metric: 1024 },
    ]);
    expect(host.json('ip', '-j', 'route', 'show', 'table', '1000')).toMatchObject([
      { type: 'blackhole', dst: '10.244.9.0/24' },
    ]);
  });

  test('are what our own lists return', () => {
    const { listed } = report;
    const index = link('flannel.1')['ifindex'];
    expect(listed['vxlan']).toMatchObject([
      {
        index,
        name: 'flannel.1',
        kind: 'vxlan',
        mac: '02:00:00:00:01:01',
        mtu: 1350,
        vxlan: { vni: 1, lowerIndex: link('cni0')['ifindex'], port: 8472, learning: false, udpCsum: true },
      },
      { name: 'flannel-v6.1', vxlan: { vni: 1, port: 8472, learning: true, gbp: true, udpCsum: false, ttl: 9 } },
    ]);
    expect(listed['neighs']?.map(({ mac, state, flags }) => ({ mac, state, flags }))).toEqual([
      { mac: MAC, state: 0x80, flags: 0 },
      { mac: MAC, state: 0x80, flags: 0 },
    ]);
    expect(listed['fdb']).toEqual([
      { index, mac: MAC, state: 0x80, flags: 2, destination: { family: 4, value: String(0xc0a8320c) } },
    ]);
    expect(listed['nexthops']?.map(({ id, protocol, flags, oif }) => ({ id, protocol, flags, oif }))).toEqual([
      { id: 5, protocol: 138, flags: 4, oif: index },
      { id: 6, protocol: 138, flags: 4, oif: index },
    ]);
    expect(listed['routes4']?.map(({ nexthopId, priority, mtu }) => ({ nexthopId, priority, mtu }))).toEqual([
      { nexthopId: 5 },
      {},
      { priority: 7, mtu: 1300 },
    ]);
    expect(listed['routes6']).toMatchObject([{ nexthopId: 6, priority: 1024, protocol: 138 }]);
    expect(listed['blackholes']).toMatchObject([{ type: 6, table: 1000 }]);
    expect(listed['noTable']).toEqual([]);
    expect(listed['lookup']).toMatchObject({ nexthopId: 5, protocol: 138, destination: { length: 24 } });
  });
});

/** The output of ip and bridge, without what the kernel chooses at random or decides later. */
function shown(host: HeldNetns): unknown {
  const volatile = new Set(['operstate', 'flags', 'addr_info', 'address', 'link_netnsid', 'inet6_addr_gen_mode']);
  const links = host.json('ip', '-d', '-j', 'link').map((link): Item => {
    const { linkinfo, ...rest } = link;
    const { info_kind, info_data, info_slave_data } = (linkinfo ?? {}) as Record<string, Item>;
    const kept = Object.entries(rest).filter(([key]) => !volatile.has(key));
    // A bridge's data contains timers, which change.
    const data = String(info_kind) === 'vxlan' ? info_data : undefined;
    const { hairpin, isolated, learning } = info_slave_data ?? {};
    const up = (link['flags'] as string[]).includes('UP');
    const address = link['ifname'] === 'flannel-v6.1' ? 'drawn' : link['address'];
    return { ...Object.fromEntries(kept), info_kind, data, hairpin, isolated, learning, up, address };
  });
  const addresses = host.run('ip', '-o', 'addr', 'show', 'scope', 'global');
  return {
    links,
    addresses,
    routes: host.run('ip', 'route', 'show', 'table', 'all', 'scope', 'global'),
    routes6: host.run('ip', '-6', 'route', 'show', 'proto', '138'),
    direct: host.run('ip', 'route', 'show', 'table', 'main'),
    nexthops: host.run('ip', 'nexthop'),
    neighs: host.run('ip', 'neigh', 'show', 'nud', 'permanent'),
    // The pod's namespace has no VXLAN device.
    fdb: links.some((link) => link['info_kind'] === 'vxlan') && host.run('bridge', 'fdb', 'show', 'dev', 'flannel.1'),
  };
}

test('the commands named in logs do the same as the messages', async () => {
  const [host, pod] = [await netns(), await netns()];
  const report = runIn<ObjectsReport>(host, 'Node', 'keep', pod.path);
  const [byHand, podByHand] = [await netns(), await netns()];
  for (const command of report.commands) {
    byHand.run('sh', '-ec', command.replace('/proc/self/fd/100', podByHand.path));
  }
  for (const command of report.podCommands) podByHand.run('sh', '-ec', command);
  expect(report.commands.length + report.podCommands.length).toBeGreaterThan(20);
  const all = [host, pod, byHand, podByHand];
  const isSettled = (): boolean => all.every((each) => each.run('ip', '-6', 'addr', 'show', 'tentative') === '');
  await waitUntil(isSettled, SETTLE_MS, 'the end of duplicate address detection');
  // The kernel adds the local route of an IPv6 address some time after that, on a busy machine seconds later.
  const made = (): unknown[] => [shown(byHand), shown(podByHand)];
  const wanted = (): unknown[] => [shown(host), shown(pod)];
  await waitUntil(() => isDeepStrictEqual(made(), wanted()), SETTLE_MS, 'the same').catch(() => undefined);
  expect(made()).toEqual(wanted());
});

test.for(ENGINES)('$engine deletes each object, and gets a clear error the second time', async ({ engine }) => {
  const [host, pod] = [await netns(), await netns()];
  const { removed } = runIn<ObjectsReport>(host, engine, 'objects', pod.path);
  expect(removed.first).toEqual([]);
  expect(removed.left).toEqual([[], [], [], [], [], []]);
  // Kernels before 6.8 do not say why there is no address.
  const second = removed.second.map((line) => line.replace(' (ipv4: Address not found)', ''));
  expect(second).toEqual([
    'NetlinkError: rtnetlink: delete route 10.244.2.0/24 nhid 5: EINVAL (Nexthop id does not exist)',
    'NetlinkError: rtnetlink: delete route 10.244.3.0/24 via 10.244.3.0 dev flannel.1: ESRCH',
    'NetlinkError: rtnetlink: delete route 10.244.4.0/24: ESRCH',
    'NetlinkError: rtnetlink: delete nexthop id 5: ENOENT',
    'NetlinkError: rtnetlink: delete neigh 10.244.2.0 dev flannel.1: ENOENT',
    `NetlinkError: rtnetlink: delete fdb ${MAC} dst 192.168.50.12 dev flannel.1: ENOENT`,
    'NetlinkError: rtnetlink: delete address 10.244.1.0/32 dev flannel.1: EADDRNOTAVAIL',
    'NetlinkError: rtnetlink: delete link flannel-v6.1: ENODEV',
  ]);
});

interface BulkReport {
  failures: string[];
  programMs: number;
  listMs: number;
  neighs: number;
  fdb: number;
  nexthops: number;
  routes: number;
  distinct: number[];
}

/** A slow processor would need minutes for ten thousand. */
const PEERS = slowed(1) > 1 ? 1000 : 10_000;
const [HIGH, LOW] = [(PEERS - 1) >> 8, (PEERS - 1) & 255];
const LAST_ROUTE = new RegExp(`^10\\.${HIGH}\\.${LOW}\\.0/24 nhid ${999 + PEERS} via 10\\.${HIGH}\\.${LOW}\\.0 onlink`);

test.for(ENGINES)('$engine programs and lists thousands of peers', async ({ engine }) => {
  const host = await netns();
  const report = runIn<BulkReport>(host, engine, 'bulk', String(PEERS));
  expect(report).toMatchObject({ failures: [], neighs: PEERS, fdb: PEERS, nexthops: PEERS, routes: PEERS });
  expect(report.distinct).toEqual([PEERS, PEERS, PEERS, PEERS]);
  const lines = (...args: [string, ...string[]]): string[] =>
    host
      .run(...args)
      .trimEnd()
      .split('\n');
  expect(lines('ip', 'neigh', 'show', 'dev', 'flannel.1', 'nud', 'permanent')).toHaveLength(PEERS);
  expect(lines('bridge', 'fdb', 'show', 'dev', 'flannel.1')).toHaveLength(PEERS);
  expect(lines('ip', 'nexthop')).toHaveLength(PEERS);
  const routes = lines('ip', 'route', 'show', 'dev', 'flannel.1', 'proto', '138');
  expect(routes).toHaveLength(PEERS);
  expect(routes.at(-1)?.trim()).toMatch(LAST_ROUTE);
  // The time is only printed and has no limit, because the machine may be busy.
  process.stderr.write(
    `${PEERS} peers on ${engine}: ${report.programMs.toFixed(0)} ms to program, ${report.listMs.toFixed(0)} ms to list\n`,
  );
});

test.for(ENGINES)('$engine gets each of thousands of refusals that were sent in batches', async ({ engine }) => {
  const host = await netns();
  expect(runIn(host, engine, 'wrong', String(PEERS / 2))).toEqual({
    first: 0,
    again: PEERS / 2,
    distinct: PEERS / 2,
    one: 'rtnetlink: add fdb 02:00:00:00:00:00 dst 10.0.0.2 dev flannel.1: EEXIST',
  });
});
