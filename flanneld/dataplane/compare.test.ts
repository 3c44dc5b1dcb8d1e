import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatPrefix, parseIp, parsePrefix } from '../../lib/ip.ts';
import { parseMac } from '../../lib/mac.ts';
import { nodeOne, vxlanLease } from '../../test/support/leases.ts';
import { ModelKernel } from '../../test/support/model-kernel.ts';
import { type OwnedChange, wholeCompare } from '../../test/support/whole-compare.ts';
import { desired, type PlacedPeer } from '../backend/vxlan/desired.ts';
import { VXLAN_KINDS, vxlanObjects } from '../backend/vxlan/vxlan-peers.ts';
import type { Lease } from '../subnet/manager.ts';
import { isOurNexthop } from './objects/nexthop.ts';
import { NEXTHOP_ID_FIRST } from './objects/nexthop-ids.ts';
import type { Change } from './plan.ts';
import { actionOf } from './send-changes.ts';

const device = { index: 7, name: 'flannel.1' };
const { place } = new ModelKernel(device);
const two = vxlanLease('10.244.2.0/24', '192.168.50.12', '02:00:00:00:01:02');
const three = vxlanLease('10.244.3.0/24', '192.168.50.13', '02:00:00:00:01:03');

function foreignIds(kernel: ModelKernel): ReadonlySet<number> | undefined {
  if (!kernel.hasNexthops) return undefined;
  const foreign = [...kernel.nexthops.values()].filter((hop) => !isOurNexthop(hop, kernel.place));
  return new Set(foreign.map(({ id }) => id).filter((id) => id >= NEXTHOP_ID_FIRST));
}

function wantedFor(kernel: ModelKernel, leases: ReadonlyMap<string, Lease>): readonly PlacedPeer[] {
  return desired(leases, { ...nodeOne, foreignNexthopIds: foreignIds(kernel) }).peers;
}

function compare(peers: readonly PlacedPeer[], kernel: ModelKernel): OwnedChange[] {
  return wholeCompare(peers, { kinds: VXLAN_KINDS, objects: vxlanObjects }, kernel.place, kernel);
}

/** One run of the reconciler without its bookkeeping: read, compare, change. */
function reconcile(kernel: ModelKernel, leases: ReadonlyMap<string, Lease>): Change[] {
  const changes = compare(wantedFor(kernel, leases), kernel);
  for (const change of changes) {
    const errno = kernel.apply(change);
    const goneAlready = change.want === undefined && (errno === 'ESRCH' || errno === 'ENOENT');
    if (errno !== undefined && !goneAlready) throw new Error(`${change.kind.name} of ${change.owner}: ${errno}`);
  }
  return changes;
}

function commands(changes: readonly Change[]): string[] {
  return changes.map((change) => actionOf(change, place).command?.() ?? '');
}

const leasesOf = (record: Record<string, Lease>): ReadonlyMap<string, Lease> => new Map(Object.entries(record));

describe('changesFor', () => {
  test('adds a peer’s objects in order, the route last, with the commands that an operator would type', () => {
    const kernel = new ModelKernel(device);
    const id = NEXTHOP_ID_FIRST + 2;
    expect(commands(reconcile(kernel, leasesOf({ two })))).toEqual([
      'ip neigh replace 10.244.2.0 lladdr 02:00:00:00:01:02 dev flannel.1 nud permanent',
      'bridge fdb replace 02:00:00:00:01:02 dev flannel.1 dst 192.168.50.12 self permanent',
      `ip nexthop add id ${id} via 10.244.2.0 dev flannel.1 onlink proto 138`,
      `ip route replace 10.244.2.0/24 nhid ${id} proto 138`,
    ]);
    expect(reconcile(kernel, leasesOf({ two }))).toEqual([]);
  });

  test('uses a plain route where the kernel has no nexthop objects', () => {
    const kernel = new ModelKernel(device, false);
    expect(commands(reconcile(kernel, leasesOf({ two }))).at(-1)).toBe(
      'ip route replace 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink proto 138',
    );
    expect(reconcile(kernel, leasesOf({ two }))).toEqual([]);
  });

  test('removes a peer that left: route, nexthop, FDB entry, neighbour', () => {
    const kernel = new ModelKernel(device);
    reconcile(kernel, leasesOf({ two, three }));
    const id = NEXTHOP_ID_FIRST + 2;
    expect(commands(reconcile(kernel, leasesOf({ three })))).toEqual([
      `ip route del 10.244.2.0/24 nhid ${id} proto 138`,
      `ip nexthop del id ${id}`,
      'bridge fdb del 02:00:00:00:01:02 dev flannel.1 self',
      'ip neigh del 10.244.2.0 dev flannel.1',
    ]);
  });

  test('D20: leaves no FDB entry of a MAC the peer had before', () => {
    const kernel = new ModelKernel(device);
    reconcile(kernel, leasesOf({ two }));
    reconcile(kernel, leasesOf({ two: vxlanLease('10.244.2.0/24', '192.168.50.12', '02:00:00:00:01:22') }));
    expect([...kernel.fdb.keys()]).toEqual(['02:00:00:00:01:22']);
  });

  test('D21: takes over what flannel left: its routes become ours in place, those of nodes long gone disappear', () => {
    const kernel = new ModelKernel(device);
    const boot = { family: 4, oif: 7, table: 254, protocol: 3, scope: 0, type: 1, flags: 4 } as const;
    for (const subnet of ['10.244.2.0/24', '10.244.9.0/24']) {
      const destination = parsePrefix(subnet);
      kernel.addRoute({ ...boot, destination, gateway: destination.ip });
    }
    const changes = reconcile(kernel, leasesOf({ two }));
    expect(commands(changes).filter((command) => command.includes('route'))).toEqual([
      `ip route replace 10.244.2.0/24 nhid ${NEXTHOP_ID_FIRST + 2} proto 138`,
      'ip route del 10.244.9.0/24 via 10.244.9.0 dev flannel.1',
    ]);
    expect([...kernel.routes.keys()]).toEqual(['10.244.2.0/24 metric 0']);
  });

  test('removes a route to a peer with a metric of its own, which the kernel keeps beside ours', () => {
    const kernel = new ModelKernel(device);
    reconcile(kernel, leasesOf({ two }));
    const destination = parsePrefix('10.244.2.0/24');
    kernel.addRoute({
      ...{ family: 4, oif: 7, table: 254, protocol: 4, scope: 0, type: 1, flags: 4, priority: 50 },
      destination,
      gateway: destination.ip,
    });
    expect(commands(reconcile(kernel, leasesOf({ two })))).toEqual([
      'ip route del 10.244.2.0/24 via 10.244.2.0 dev flannel.1 proto 4 metric 50',
    ]);
  });

  test.for([
    { name: 'the kernel’s own', protocol: 2, table: 254 },
    { name: 'in another table', protocol: 4, table: 100 },
  ])('leaves a route that is $name', ({ protocol, table }) => {
    const kernel = new ModelKernel(device);
    const destination = parsePrefix('10.244.7.0/24');
    kernel.addRoute({ family: 4, oif: 7, destination, table, protocol, scope: 253, type: 1, flags: 0 });
    expect(reconcile(kernel, leasesOf({}))).toEqual([]);
  });

  test('keeps learned and resolving entries, and makes a permanent entry where one is wanted', () => {
    const kernel = new ModelKernel(device);
    const [mac, dst] = [parseMac('02:00:00:00:01:02'), parseIp('192.168.50.12')];
    kernel.fdb.set(mac, { index: 7, mac, destination: dst, state: 2, flags: 2 });
    const other = parseMac('02:00:00:00:77:77');
    kernel.fdb.set(other, { index: 7, mac: other, destination: dst, state: 2, flags: 2 });
    kernel.neighs.set('10.244.2.0', {
      family: 4,
      index: 7,
      destination: parseIp('10.244.2.0'),
      mac,
      state: 4,
      flags: 0,
    });
    kernel.neighs.set('10.244.8.0', { family: 4, index: 7, destination: parseIp('10.244.8.0'), state: 32, flags: 0 });
    const kinds = reconcile(kernel, leasesOf({ two })).map(
      ({ kind, want }) => `${want === undefined ? '-' : '+'}${kind.name}`,
    );
    expect(kinds).toEqual(['+neigh', '+fdb', '+nexthop', '+route']);
  });

  test('removes the catch-all FDB entry, which would flood every unknown MAC to one node', () => {
    const kernel = new ModelKernel(device);
    const mac = parseMac('00:00:00:00:00:00');
    kernel.fdb.set(mac, { index: 7, mac, destination: parseIp('192.168.50.99'), state: 128, flags: 2 });
    expect(commands(reconcile(kernel, leasesOf({})))).toEqual(['bridge fdb del 00:00:00:00:00:00 dev flannel.1 self']);
  });

  test('never uses or removes another program’s nexthop, also in the reserved range', () => {
    const kernel = new ModelKernel(device);
    const id = NEXTHOP_ID_FIRST + 2;
    kernel.nexthops.set(id, { id, gateway: parseIp('10.9.9.9'), oif: 9, family: 4, protocol: 138, flags: 0 });
    kernel.nexthops.set(77, { id: 77, gateway: parseIp('10.9.9.9'), oif: 7, family: 4, protocol: 138, flags: 0 });
    reconcile(kernel, leasesOf({ two }));
    reconcile(kernel, leasesOf({}));
    expect([...kernel.nexthops.keys()]).toEqual([id, 77]);
  });

  test('moves a peer off its nexthop before a new one of another size gets the id', () => {
    const kernel = new ModelKernel(device);
    const wide = vxlanLease('10.244.64.0/20', '192.168.50.13', '02:00:00:00:01:03');
    const narrow = vxlanLease('10.244.4.0/24', '192.168.50.14', '02:00:00:00:01:04');
    reconcile(kernel, leasesOf({ wide }));
    const id = NEXTHOP_ID_FIRST + 4;
    const sent = commands(reconcile(kernel, leasesOf({ wide, narrow })));
    expect(sent.indexOf(`ip route replace 10.244.64.0/20 nhid ${id + 1} proto 138`)).toBeGreaterThan(-1);
    expect(sent.indexOf(`ip nexthop replace id ${id} via 10.244.4.0 dev flannel.1 onlink proto 138`)).toBeGreaterThan(
      sent.indexOf(`ip route replace 10.244.64.0/20 nhid ${id + 1} proto 138`),
    );
  });

  test('removes an old nexthop only after the route that uses it', () => {
    const kernel = new ModelKernel(device);
    reconcile(kernel, leasesOf({ two }));
    // Another program takes the id, so the route must move to another one.
    const id = NEXTHOP_ID_FIRST + 2;
    const wanted = desired(leasesOf({ two }), { ...nodeOne, foreignNexthopIds: new Set([id]) }).peers;
    const changes = compare(wanted, kernel);
    expect(changes.find(({ kind, want }) => kind.name === 'nexthop' && want === undefined)).toMatchObject({
      after: 'two',
    });
  });
});

const lease = fc
  .record({
    subnet: fc.integer({ min: 0, max: 6 }),
    mac: fc.integer({ min: 1, max: 5 }),
    ip: fc.integer({ min: 10, max: 15 }),
    wide: fc.boolean(),
    type: fc.constantFrom('vxlan', 'vxlan', 'vxlan', 'host-gw'),
  })
  .map(({ subnet, mac, ip, wide, type }) => ({
    ...vxlanLease(
      wide ? `10.244.${subnet * 16}.0/20` : `10.244.${subnet}.0/24`,
      `192.168.50.${ip}`,
      `02:00:00:00:01:0${mac}`,
    ),
    backendType: type,
  }));
const leases = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd', 'e'), lease, { noNullPrototype: true });

/** What may happen between two runs: changes to the kernel by others, or to the leases as the agent sees them. */
const event = fc.oneof(
  leases.map((now) => ({ kind: 'leases' as const, now })),
  fc.constant({ kind: 'reconcile' as const }),
  fc.constant({ kind: 'bounce' as const }),
  fc.constant({ kind: 'mac' as const }),
  fc.record({
    kind: fc.constant('lose' as const),
    what: fc.constantFrom('neighs', 'fdb', 'nexthops', 'routes'),
    at: fc.nat(9),
  }),
  fc.record({
    kind: fc.constant('route' as const),
    subnet: fc.integer({ min: 0, max: 8 }),
    oif: fc.constantFrom(7, 3),
    metric: fc.constantFrom(0, 5),
  }),
  fc.record({
    kind: fc.constant('neigh' as const),
    subnet: fc.integer({ min: 0, max: 8 }),
    state: fc.constantFrom(0x80, 0x04, 0x20),
  }),
  fc.record({
    kind: fc.constant('fdb' as const),
    mac: fc.integer({ min: 0, max: 9 }),
    state: fc.constantFrom(0x80, 0x40),
  }),
  fc.record({
    kind: fc.constant('nexthop' as const),
    subnet: fc.integer({ min: 0, max: 6 }),
    oif: fc.constantFrom(7, 3),
    protocol: fc.constantFrom(138, 4),
  }),
);
type Event = typeof event extends fc.Arbitrary<infer T> ? T : never;

function happen(kernel: ModelKernel, seen: { leases: ReadonlyMap<string, Lease> }, what: Event): void {
  switch (what.kind) {
    case 'leases':
      seen.leases = leasesOf(what.now);
      break;
    case 'reconcile':
      reconcile(kernel, seen.leases);
      break;
    case 'bounce':
      kernel.bounce();
      break;
    case 'mac':
      kernel.setMac();
      break;
    case 'lose':
      lose(kernel, what.what, what.at);
      break;
    case 'route': {
      const destination = parsePrefix(`10.244.${what.subnet}.0/24`);
      const metric = what.metric === 0 ? {} : { priority: what.metric };
      const route = { family: 4, oif: what.oif, table: 254, protocol: 3, scope: 0, type: 1, flags: 4 } as const;
      kernel.addRoute({ ...route, destination, gateway: destination.ip, ...metric });
      break;
    }
    case 'neigh': {
      const destination = parseIp(`10.244.${what.subnet}.0`);
      const mac = parseMac('02:99:00:00:00:01');
      kernel.neighs.set(`10.244.${what.subnet}.0`, {
        family: 4,
        index: 7,
        destination,
        mac,
        state: what.state,
        flags: 0,
      });
      break;
    }
    case 'fdb': {
      const mac = parseMac(`02:00:00:00:01:0${what.mac}`);
      kernel.fdb.set(mac, { index: 7, mac, destination: parseIp('192.168.50.99'), state: what.state, flags: 2 });
      break;
    }
    case 'nexthop': {
      if (!kernel.hasNexthops) break;
      const id = NEXTHOP_ID_FIRST + what.subnet;
      kernel.deleteNexthop(id);
      kernel.nexthops.set(id, {
        id,
        oif: what.oif,
        gateway: parseIp('10.9.9.9'),
        family: 4,
        protocol: what.protocol,
        flags: 4,
      });
    }
  }
}

function lose(kernel: ModelKernel, what: 'neighs' | 'fdb' | 'nexthops' | 'routes', at: number): void {
  const keys = [...kernel[what].keys()];
  const key = keys[at % Math.max(1, keys.length)];
  if (key === undefined) return;
  if (what === 'nexthops') kernel.deleteNexthop(Number(key));
  else kernel[what].delete(String(key));
}

/** Everything in the kernel for comparison, including what the agent does not judge (other devices, learned entries). */
function contents(kernel: ModelKernel): unknown {
  const sorted = (values: Iterable<unknown>): string[] =>
    [...values]
      .map((value) => JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner)))
      .sort();
  return {
    neighs: sorted([...kernel.neighs.values()].filter(({ state }) => state === 0x80)),
    fdb: sorted(kernel.fdb.values()),
    nexthops: sorted([...kernel.nexthops.values()].filter((hop) => hop.protocol === 138 && hop.oif === 7)),
    routes: sorted([...kernel.routes.values()].filter((route) => route.oif === 7)),
  };
}

describe.each([
  { kernelKind: 'with nexthop objects', hasNexthops: true },
  { kernelKind: 'without nexthop objects', hasNexthops: false },
])('a kernel $kernelKind', ({ hasNexthops }) => {
  const history = fc.array(event, { maxLength: 14 });

  test('ends in the same state whatever happened before, and changes nothing when it runs again', () => {
    fc.assert(
      fc.property(history, leases, (events, last) => {
        const kernel = new ModelKernel(device, hasNexthops);
        const seen = { leases: new Map<string, Lease>() as ReadonlyMap<string, Lease> };
        for (const what of events) happen(kernel, seen, what);
        reconcile(kernel, leasesOf(last));
        expect(reconcile(kernel, leasesOf(last))).toEqual([]);

        const fresh = new ModelKernel(device, hasNexthops);
        for (const [id, hop] of kernel.nexthops) {
          if (foreignIds(kernel)?.has(id) === true) fresh.nexthops.set(id, hop);
        }
        reconcile(fresh, leasesOf(last));
        expect(contents(kernel)).toEqual(contents(fresh));
      }),
      { numRuns: 400 },
    );
  });

  test('never breaks a correct peer that stays, not even between two messages', () => {
    fc.assert(
      fc.property(leases, leases, history, (before, after, events) => {
        const kernel = new ModelKernel(device, hasNexthops);
        const seen = { leases: leasesOf(before) };
        reconcile(kernel, seen.leases);
        for (const what of events) if (what.kind !== 'leases') happen(kernel, seen, what);
        const wanted = wantedFor(kernel, leasesOf(after));
        const right = wanted.filter((peer) => forwards(kernel, peer));
        for (const change of compare(wanted, kernel)) {
          kernel.apply(change);
          for (const peer of right) expect([peer.key, forwards(kernel, peer)]).toEqual([peer.key, true]);
        }
      }),
      { numRuns: 400 },
    );
  });
});

/** Whether a packet for this peer's pods gets to the right node: route, neighbour and FDB entry, however made. */
function forwards(kernel: ModelKernel, { subnet, mac, publicIp }: PlacedPeer): boolean {
  const route = kernel.routes.get(`${formatPrefix(subnet)} metric 0`);
  if (route?.oif !== device.index || route.gateway?.value !== subnet.ip.value) return false;
  const neigh = [...kernel.neighs.values()].find(({ destination }) => destination.value === subnet.ip.value);
  if (neigh?.mac !== mac || neigh.state !== 0x80) return false;
  return kernel.fdb.get(mac)?.destination?.value === publicIp.value;
}
