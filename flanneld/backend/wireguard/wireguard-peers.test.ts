import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatIp, formatPrefix, overlaps, parseIp, parsePrefix } from '../../../lib/ip.ts';
import { type JsonValue, jsonObject } from '../../../lib/json.ts';
import type { Lease, LeaseSnapshot } from '../../subnet/manager.ts';
import type { NodeConfig } from '../lease-fields.ts';
import type { WireguardMode } from './wireguard-conf.ts';
import { keyText } from './wireguard-key.ts';
import { wireguardPeers } from './wireguard-peers.ts';

const key = (fill: number): string => Buffer.alloc(32, fill).toString('base64');

const v4: NodeConfig = {
  family: 4,
  network: parsePrefix('10.244.0.0/16'),
  subnet: parsePrefix('10.244.1.0/24'),
  publicIp: parseIp('192.168.50.11'),
};
const v6: NodeConfig = {
  family: 6,
  network: parsePrefix('fd00:244::/48'),
  subnet: parsePrefix('fd00:244:0:1::/64'),
  publicIp: parseIp('fd50::11'),
};

interface Given {
  readonly mode?: WireguardMode;
  readonly families?: readonly NodeConfig[];
}

function peersOf(leases: Record<string, Lease>, { mode = 'separate', families = [v4] }: Given = {}) {
  const snapshot: LeaseSnapshot = { leases: new Map(Object.entries(leases)), problems: [], ownKey: 'own' };
  const ports = { 4: 51820, 6: mode === 'separate' ? 51821 : 51820 };
  const { peers, problems } = wireguardPeers(snapshot, {
    ...{ mode, families, ports },
    ownKey: new Uint8Array(32).fill(1),
  });
  const shown = peers.map((peer) => ({
    key: peer.key,
    publicKey: keyText(peer.publicKey),
    endpoint: `${formatIp(peer.endpoint.ip)} ${peer.endpoint.port}`,
    allowedIps: peer.allowedIps.map(formatPrefix),
  }));
  return { peers: shown, problems: problems.map((problem) => `${problem.key}: ${problem.reason}`) };
}

function lease(index: number, fill: number, more: Partial<Lease> = {}): Lease {
  return {
    subnet: parsePrefix(`10.244.${index}.0/24`),
    publicIp: parseIp(`192.168.50.${index}`),
    backendType: 'wireguard',
    backendData: jsonObject({ PublicKey: key(fill), Port: 51820 }),
    ...more,
  };
}

const dual = (index: number, fill: number, more: Partial<Lease> = {}): Lease =>
  lease(index, fill, {
    ipv6Subnet: parsePrefix(`fd00:244:0:${index}::/64`),
    publicIpv6: parseIp(`fd50::${index}`),
    backendV6Data: jsonObject({ PublicKey: key(fill), Port: 51821 }),
    ...more,
  });

describe('a lease', () => {
  test('is a peer with its subnet, its address and its port', () => {
    const data = jsonObject({ PublicKey: key(2), Port: 40_000 });
    expect(peersOf({ own: lease(1, 1), two: lease(2, 2, { backendData: data }) })).toEqual({
      peers: [{ key: 'two', publicKey: key(2), endpoint: '192.168.50.2 40000', allowedIps: ['10.244.2.0/24'] }],
      problems: [],
    });
  });

  test.for([undefined, null, 0])(
    'of an old flannel, which names port %s, is reached at this node’s own port',
    (Port) => {
      const data = jsonObject({ PublicKey: key(2), Port });
      expect(peersOf({ two: lease(2, 2, { backendData: data }) }).peers[0]?.endpoint).toBe('192.168.50.2 51820');
    },
  );

  test.for<{ data: JsonValue | undefined; want: string }>([
    { data: undefined, want: 'has no WireGuard key: BackendData names no PublicKey' },
    { data: null, want: 'has no WireGuard key: BackendData names no PublicKey' },
    { data: 'AAAA', want: 'has no WireGuard key: BackendData names no PublicKey' },
    { data: jsonObject({ PublicKey: 7 }), want: 'has no valid WireGuard key: PublicKey is not 32 bytes in base64' },
    {
      data: jsonObject({ PublicKey: key(0) }),
      want: 'has no valid WireGuard key: PublicKey is not 32 bytes in base64',
    },
    { data: jsonObject({ PublicKey: key(1) }), want: 'has the same WireGuard key as this node' },
    {
      data: jsonObject({ PublicKey: key(2), Port: 70_000 }),
      want: 'has no valid port: BackendData.Port is not an integer 1–65535',
    },
  ])('is left out with a reason: $want', ({ data, want }) => {
    const { backendData: _, ...rest } = lease(2, 2);
    const given = { ...rest, ...(data !== undefined && { backendData: data }) };
    expect(peersOf({ two: given, three: lease(3, 3) })).toMatchObject({
      peers: [{ key: 'three' }],
      problems: [`two: ${want}`],
    });
  });

  test('of another backend is left out', () => {
    const { problems } = peersOf({ two: { ...lease(2, 2), backendType: 'vxlan' } });
    expect(problems).toEqual(['two: backend type is "vxlan", not wireguard']);
  });

  test('with the key of an older lease takes nothing from that lease', () => {
    const leases = { a: lease(9, 2, { created: '5' }), two: lease(2, 2, { created: '1' }) };
    expect(peersOf(leases)).toMatchObject({
      peers: [{ key: 'two', allowedIps: ['10.244.2.0/24'] }],
      problems: ['a: has the same WireGuard key as two'],
    });
  });
});

describe('with both families', () => {
  test('the device of each family has its own peers in mode separate', () => {
    const leases = { two: dual(2, 2) };
    expect(peersOf(leases).peers[0]).toMatchObject({ endpoint: '192.168.50.2 51820', allowedIps: ['10.244.2.0/24'] });
    expect(peersOf(leases, { families: [v6] }).peers[0]).toMatchObject({
      endpoint: 'fd50::2 51821',
      allowedIps: ['fd00:244:0:2::/64'],
    });
  });

  const both = { families: [v4, v6] };
  const allowedIps = ['10.244.2.0/24', 'fd00:244:0:2::/64'];

  test('one device has both subnets behind one endpoint', () => {
    const leases = { two: dual(2, 2) };
    expect(peersOf(leases, { ...both, mode: 'ipv4' }).peers[0]).toMatchObject({
      endpoint: '192.168.50.2 51820',
      allowedIps,
    });
  });

  test('over IPv6 the port is that of the IPv4 data, at which flannel listens', () => {
    expect(peersOf({ two: dual(2, 2) }, { ...both, mode: 'ipv6' }).peers[0]?.endpoint).toBe('fd50::2 51820');
  });

  test.for([
    { name: 'both private', publicIp: '192.168.50.2', publicIpv6: 'fd50::2', want: '192.168.50.2' },
    { name: 'public IPv4', publicIp: '198.51.100.2', publicIpv6: '2001:db8::2', want: '198.51.100.2' },
    {
      name: 'private IPv4 and this node’s IPv6 private',
      publicIp: '10.9.9.9',
      publicIpv6: '2001:db8::2',
      want: '10.9.9.9',
    },
  ])('mode auto chooses the family as flannel does: $name', ({ publicIp, publicIpv6, want }) => {
    const leases = { two: dual(2, 2, { publicIp: parseIp(publicIp), publicIpv6: parseIp(publicIpv6) }) };
    expect(peersOf(leases, { ...both, mode: 'auto' }).peers[0]?.endpoint).toBe(`${want} 51820`);
  });

  test('mode auto chooses IPv6 when only the IPv6 addresses are public on both ends', () => {
    const families = [v4, { ...v6, publicIp: parseIp('2001:db8::11') }];
    const leases = { two: dual(2, 2, { publicIpv6: parseIp('2001:db8::2') }) };
    expect(peersOf(leases, { families, mode: 'auto' }).peers[0]?.endpoint).toBe('2001:db8::2 51820');
  });
});

test('no two peers have the same key or overlapping prefixes, whatever the leases say and in whatever order they come', () => {
  const one = fc.record({
    index: fc.integer({ min: 0, max: 6 }),
    fill: fc.integer({ min: 0, max: 5 }),
    created: fc.constantFrom('1', '2', undefined),
  });
  fc.assert(
    fc.property(fc.array(one, { maxLength: 8 }), (given) => {
      const entries = given.map(({ index, fill, created }, at): [string, Lease] => [
        `n${at}`,
        dual(index, fill, created === undefined ? {} : { created }),
      ]);
      const options = { families: [v4, v6], mode: 'auto' } as const;
      const { peers } = peersOf(Object.fromEntries(entries), options);
      expect(peersOf(Object.fromEntries(entries.toReversed()), options).peers).toEqual(peers);
      expect(new Set(peers.map(({ publicKey }) => publicKey)).size).toBe(peers.length);
      const prefixes = peers.flatMap((peer) => peer.allowedIps.map(parsePrefix));
      for (const [at, a] of prefixes.entries()) {
        for (const b of prefixes.slice(at + 1)) expect(overlaps(a, b)).toBe(false);
      }
    }),
  );
});
