import { describe, expect, test } from 'vitest';
import type { Family, Ip } from '../../lib/ip.ts';
import { formatIp, formatPrefix, parseIp, parsePrefix } from '../../lib/ip.ts';
import type { Address } from '../../lib/rtnetlink/address.ts';
import type { Route, RouteHop } from '../../lib/rtnetlink/route-message.ts';
import {
  IFA_F_DADFAILED,
  IFA_F_DEPRECATED,
  IFA_F_PERMANENT,
  IFA_F_SECONDARY,
  IFF_UP,
  RTN_LOCAL,
  RTN_UNICAST,
  RTN_UNREACHABLE,
} from '../../lib/rtnetlink/rtnetlink-constants.ts';
import type { InterfaceOptions } from '../cli/options.ts';
import type { ExternalInterface, Underlay } from './external-interface.ts';
import { checkUnderlay, selectExternalInterface } from './external-interface.ts';
import { usableAddresses } from './usable-addresses.ts';

function link(index: number, name: string, change: { flags?: number; mtu?: number } = {}): Underlay['links'][number] {
  return { index, name, flags: IFF_UP, mtu: 1500, ...change };
}

function address(index: number, cidr: string, flags = IFA_F_PERMANENT): Address {
  const { ip, length } = parsePrefix(cidr);
  return { index, family: ip.family, ip, length, scope: 0, flags };
}

function route(cidr: string, change: Partial<Route> = {}): Route {
  const destination = parsePrefix(cidr);
  const { family } = destination.ip;
  return { family, destination, table: 254, protocol: 3, scope: 0, type: RTN_UNICAST, flags: 0, ...change };
}

const lo = link(1, 'lo');
const eth0 = link(2, 'eth0');
const eth1 = link(3, 'eth1', { mtu: 9000 });
const addresses = [
  address(1, '127.0.0.1/8'),
  address(1, '::1/128'),
  address(2, '10.0.0.1/24'),
  address(2, 'fd00::1/64'),
  address(2, 'fe80::1/64'),
  address(3, '10.1.0.1/24'),
  address(3, 'fd01::1/64'),
];
const routes = [
  route('0.0.0.0/0', { oif: 2 }),
  route('::/0', { oif: 2, priority: 1024 }),
  route('10.1.0.0/24', { oif: 3 }),
];
const usual: Underlay = { links: [lo, eth0, eth1], addresses, routes, lookup: () => undefined };

const none: InterfaceOptions = {
  iface: [],
  ifaceRegex: [],
  ifaceCanReach: undefined,
  publicIp: undefined,
  publicIpv6: undefined,
};

function select(options: Partial<InterfaceOptions>, families: Family[] = [4], underlay: Partial<Underlay> = {}) {
  return selectExternalInterface({ ...usual, ...underlay }, families, { ...none, ...options });
}

/** `eth0 10.0.0.1/24>10.0.0.1`, per family. */
function show({ name, ipv4, ipv6 }: ExternalInterface): string {
  const parts = [ipv4, ipv6].map((each) => (each ? ` ${formatPrefix(each.local)}>${formatIp(each.publicIp)}` : ''));
  return name + parts.join('');
}

const candidates = 'candidates: eth0 [10.0.0.1 fd00::1 fe80::1], eth1 [10.1.0.1 fd01::1]';

describe('default route', () => {
  test('gives interface, address with its length, MTU, and nothing to note', () => {
    expect(select({})).toEqual({
      index: 2,
      name: 'eth0',
      mtuBytes: 1500,
      ipv4: { local: parsePrefix('10.0.0.1/24'), publicIp: parseIp('10.0.0.1') },
      notes: [],
    });
  });

  test('is used for IPv6, or for both families', () => {
    expect(show(select({}, [6]))).toBe('eth0 fd00::1/64>fd00::1');
    expect(show(select({}, [4, 6]))).toBe('eth0 10.0.0.1/24>10.0.0.1 fd00::1/64>fd00::1');
  });

  test.for([
    {
      name: 'the lowest metric wins',
      list: [route('0.0.0.0/0', { oif: 2, priority: 100 }), route('0.0.0.0/0', { oif: 3, priority: 50 })],
      want: 'eth1',
    },
    {
      name: "the kernel's order among equals",
      list: [route('0.0.0.0/0', { oif: 3 }), route('0.0.0.0/0', { oif: 2 })],
      want: 'eth1',
    },
    {
      name: 'other tables do not count',
      list: [route('0.0.0.0/0', { oif: 2, table: 100 }), route('0.0.0.0/0', { oif: 3 })],
      want: 'eth1',
    },
    {
      name: 'unreachable does not count',
      list: [route('0.0.0.0/0', { oif: 1, type: RTN_UNREACHABLE }), route('0.0.0.0/0', { oif: 3 })],
      want: 'eth1',
    },
    {
      name: 'half the Internet is not the default',
      list: [route('0.0.0.0/1', { oif: 2 }), route('0.0.0.0/0', { oif: 3 })],
      want: 'eth1',
    },
  ])('$name', ({ list, want }) => {
    expect(select({}, [4], { routes: list }).name).toBe(want);
  });

  test('with several next hops takes the first, and notes it when they differ', () => {
    const hop = (oif: number): RouteHop => ({ oif, flags: 0, weight: 1 });
    const over = (...hops: RouteHop[]) => select({}, [4], { routes: [route('0.0.0.0/0', { hops })] });
    expect(over(hop(3), hop(2))).toMatchObject({
      name: 'eth1',
      notes: ['the IPv4 default route has several interfaces, the first one is used'],
    });
    expect(over(hop(3), hop(3))).toMatchObject({ name: 'eth1', notes: [] });
    expect(over).toThrow('found default route but could not determine interface: the one for IPv4 names none');
  });

  test('that is missing gives an error that names the candidates', () => {
    expect(() => select({}, [4], { routes: [] })).toThrow(
      `external interface: default route: there is none for IPv4; ${candidates}`,
    );
  });

  test('through different interfaces is refused for two families', () => {
    const list = [route('0.0.0.0/0', { oif: 2 }), route('::/0', { oif: 3 })];
    expect(() => select({}, [4, 6], { routes: list })).toThrow(
      'default route: IPv4 and IPv6 use different interfaces (eth0, eth1), but one interface must carry both',
    );
  });
});

describe('--iface', () => {
  test.for([
    { name: 'a name', iface: ['eth1'], want: 'eth1 10.1.0.1/24>10.1.0.1' },
    { name: 'an address', iface: ['10.1.0.1'], want: 'eth1 10.1.0.1/24>10.1.0.1' },
    { name: 'the first that exists', iface: ['wlan0', 'eth1', 'eth0'], want: 'eth1 10.1.0.1/24>10.1.0.1' },
    { name: 'the first that has an address of the family', iface: ['lo', 'eth1'], want: 'eth1 10.1.0.1/24>10.1.0.1' },
    {
      name: 'an address of the other family, for its interface',
      iface: ['FD01:0::1'],
      want: 'eth1 10.1.0.1/24>10.1.0.1',
    },
  ])('takes $name', ({ iface, want }) => {
    expect(show(select({ iface }))).toBe(want);
  });

  test('takes the given address, also when another one is better', () => {
    const more = [...addresses, address(3, '10.1.0.9/24', IFA_F_PERMANENT | IFA_F_SECONDARY)];
    expect(show(select({ iface: ['10.1.0.9'] }, [4], { addresses: more }))).toBe('eth1 10.1.0.9/24>10.1.0.9');
  });

  test('that is refused gives the reason of each and the candidates', () => {
    expect(() => select({ iface: ['eth9', '10.9.9.9', 'lo'] })).toThrow(
      'external interface: failed to find interface to use that matches the interfaces and/or regexes provided: ' +
        '--iface=eth9: no interface has this name; ' +
        '--iface=10.9.9.9: no interface with given IP; ' +
        `--iface=lo: lo has no usable IPv4 address; ${candidates}`,
    );
  });

  test('refuses an interface with MTU 0', () => {
    expect(() => select({ iface: ['eth0'] }, [4], { links: [link(2, 'eth0', { mtu: 0 })] })).toThrow('eth0 has MTU 0');
  });

  test('notes an interface that is down', () => {
    expect(select({ iface: ['eth0'] }, [4], { links: [link(2, 'eth0', { flags: 0 })] }).notes).toEqual([
      'eth0 is down',
    ]);
  });
});

describe('--iface-regex', () => {
  test.for([
    { name: 'an address', regex: /^10\.1\./, families: [4] as Family[], want: 'eth1 10.1.0.1/24>10.1.0.1' },
    { name: 'a name', regex: /h1$/, families: [4] as Family[], want: 'eth1 10.1.0.1/24>10.1.0.1' },
    {
      name: 'an address before a name, whatever the order',
      regex: /eth0|10\.1\./,
      families: [4] as Family[],
      want: 'eth1 10.1.0.1/24>10.1.0.1',
    },
    { name: 'the lower index', regex: /eth/, families: [4] as Family[], want: 'eth0 10.0.0.1/24>10.0.0.1' },
    {
      name: 'an interface where both families match',
      regex: /^10\.|^fd01/,
      families: [4, 6] as Family[],
      want: 'eth1 10.1.0.1/24>10.1.0.1 fd01::1/64>fd01::1',
    },
  ])('matches $name', ({ regex, families, want }) => {
    expect(show(select({ ifaceRegex: [regex] }, families, { links: [eth1, lo, eth0] }))).toBe(want);
  });

  test('is asked only after every --iface failed', () => {
    expect(select({ iface: ['eth0'], ifaceRegex: [/eth1/] }).name).toBe('eth0');
    expect(select({ iface: ['eth9'], ifaceRegex: [/eth1/] }).name).toBe('eth1');
  });

  test('never falls back to the default route', () => {
    expect(() => select({ ifaceRegex: [/^wl/] })).toThrow('--iface-regex=^wl: matches no address and no name');
  });
});

describe('--iface-can-reach', () => {
  const target = parseIp('10.9.9.9');
  const lookup = (found: Partial<Route> | undefined) => (ip: Ip) => found && route(`${formatIp(ip)}/32`, found);

  test('takes interface and preferred source of the route', () => {
    const answer = lookup({ oif: 3, prefSrc: parseIp('10.1.0.1') });
    expect(show(select({ ifaceCanReach: target }, [4], { lookup: answer }))).toBe('eth1 10.1.0.1/24>10.1.0.1');
  });

  test('takes a preferred source of another interface, as with BGP to the host', () => {
    const answer = lookup({ oif: 3, prefSrc: parseIp('10.255.0.1') });
    expect(show(select({ ifaceCanReach: target }, [4], { lookup: answer }))).toBe('eth1 10.255.0.1/32>10.255.0.1');
  });

  test('finds the interface of an address of this node', () => {
    const answer = lookup({ oif: 1, type: RTN_LOCAL, prefSrc: parseIp('10.1.0.1') });
    expect(show(select({ ifaceCanReach: parseIp('10.1.0.1') }, [4], { lookup: answer }))).toBe(
      'eth1 10.1.0.1/24>10.1.0.1',
    );
  });

  test.for([
    { found: undefined, want: 'the kernel has no route to it' },
    { found: {}, want: 'the route to it names no interface' },
    { found: { oif: 77 }, want: 'interface 77 is gone' },
  ])('refuses: $want', ({ found, want }) => {
    expect(() => select({ ifaceCanReach: target }, [4], { lookup: lookup(found) })).toThrow(
      `--iface-can-reach=10.9.9.9: ${want}`,
    );
  });
});

describe('--public-ip', () => {
  test('alone, chooses the interface that has it', () => {
    expect(show(select({ publicIp: parseIp('10.1.0.1') }))).toBe('eth1 10.1.0.1/24>10.1.0.1');
    expect(show(select({ publicIpv6: parseIp('fd01::1') }, [6]))).toBe('eth1 fd01::1/64>fd01::1');
  });

  test('D27: of no interface is published with the default route’s interface, unlike flannel, and noted', () => {
    const chosen = select({ publicIp: parseIp('203.0.113.7') });
    expect(show(chosen)).toBe('eth0 10.0.0.1/24>203.0.113.7');
    expect(chosen.notes).toEqual([
      '203.0.113.7 is on no interface: it is advertised as a NAT address, and the default route decides which interface is used',
    ]);
  });

  test('together with --iface is only published', () => {
    expect(show(select({ iface: ['eth1'], publicIp: parseIp('10.0.0.1') }))).toBe('eth1 10.1.0.1/24>10.0.0.1');
  });

  test('of a disabled family is noted', () => {
    const chosen = select({ publicIpv6: parseIp('fd01::1') });
    expect(show(chosen)).toBe('eth0 10.0.0.1/24>10.0.0.1');
    expect(chosen.notes).toEqual(['--public-ipv6 is not used, because IPv6 is off']);
  });
});

describe('candidates', () => {
  test('are at most eight', () => {
    const many = Array.from({ length: 20 }, (_, n) => address(n + 1, `10.2.0.${n}/24`));
    const links = many.map(({ index }) => link(index, `if${index}`));
    expect(() => select({ iface: ['x'] }, [4], { links, addresses: many })).toThrow(/if8 \[10\.2\.0\.7\] and 12 more$/);
    expect(() => select({ iface: ['x'] }, [4], { addresses: [] })).toThrow(/; no interface has a usable address$/);
  });
});

describe('usableAddresses', () => {
  test('prefers global to link-local, permanent to expiring, stable to temporary', () => {
    const list = [
      address(2, 'fe80::1/64'),
      address(2, 'fd00::4/64', IFA_F_SECONDARY),
      address(2, 'fd00::3/64', 0),
      address(2, 'fd00::2/64', IFA_F_PERMANENT | IFA_F_SECONDARY),
      address(2, 'fd00::1/64'),
      address(2, 'fd00::1:1/64'),
    ];
    expect(usableAddresses(list, 2, 6).map(({ ip }) => formatIp(ip))).toEqual([
      'fd00::1',
      'fd00::1:1',
      'fd00::2',
      'fd00::3',
      'fd00::4',
      'fe80::1',
    ]);
  });

  test('leaves out deprecated, duplicate, loopback and multicast ones, and other families and interfaces', () => {
    const list = [
      address(2, 'fd00::1/64', IFA_F_PERMANENT | IFA_F_DEPRECATED),
      address(2, 'fd00::2/64', IFA_F_PERMANENT | IFA_F_DADFAILED),
      address(2, '::1/128'),
      address(2, 'ff02::1/64'),
      address(2, '10.0.0.1/24'),
      address(3, 'fd00::3/64'),
    ];
    expect(usableAddresses(list, 2, 6)).toEqual([]);
  });

  test('keeps the order of IPv4 secondaries, where the “temporary” bit means “secondary”', () => {
    const list = [address(2, '10.0.0.2/24', IFA_F_PERMANENT | IFA_F_SECONDARY), address(2, '10.0.0.1/24')];
    expect(usableAddresses(list, 2, 4).map(({ ip }) => formatIp(ip))).toEqual(['10.0.0.2', '10.0.0.1']);
  });
});

describe('checkUnderlay', () => {
  test.for([
    { network: '10.0.0.0/16', want: '10.0.0.1 of eth0 lies inside the cluster network 10.0.0.0/16' },
    { network: '10.0.0.0/28', want: '10.0.0.1 of eth0 lies inside the cluster network 10.0.0.0/28' },
    { network: 'fd00::/48', want: 'fd00::1 of eth0 lies inside the cluster network fd00::/48' },
    { network: '203.0.113.0/24', want: '203.0.113.7 of eth0 lies inside the cluster network 203.0.113.0/24' },
    { network: '10.0.0.128/25', want: undefined },
    { network: '10.244.0.0/16', want: undefined },
  ])('$network: $want', ({ network, want }) => {
    const chosen = select({ iface: ['eth0'], publicIp: parseIp('203.0.113.7') }, [4, 6]);
    const check = () => checkUnderlay(chosen, [parsePrefix(network)]);
    if (want === undefined) expect(check).not.toThrow();
    else expect(check).toThrow(`external interface: ${want}`);
  });
});
