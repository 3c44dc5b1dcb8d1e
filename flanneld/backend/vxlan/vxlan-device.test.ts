import { describe, expect, test } from 'vitest';
import { parseIp } from '../../../lib/ip.ts';
import { parseMac } from '../../../lib/mac.ts';
import type { Link } from '../../../lib/rtnetlink/link.ts';
import { IFF_UP } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import type { VxlanAttributes } from '../../../lib/rtnetlink/vxlan-attributes.ts';
import {
  adjustment,
  incompatibility,
  isMisplaced,
  isRenamed,
  type VxlanDeviceSpec,
  vxlanDeviceName,
  vxlanMtu,
} from './vxlan-device.ts';

const spec: VxlanDeviceSpec = {
  name: 'flannel.1',
  family: 4,
  vni: 1,
  port: 8472,
  local: parseIp('192.168.50.11'),
  underlay: { index: 2, name: 'eth0' },
  mtu: 1450,
  mac: parseMac('02:00:00:00:01:01'),
  learning: false,
  gbp: false,
};

/** The kernel's description of a device that flannel made. */
const vxlan: VxlanAttributes = {
  vni: 1,
  lowerIndex: 2,
  local: parseIp('192.168.50.11'),
  port: 8472,
  learning: false,
  l2miss: false,
  l3miss: false,
  proxy: false,
  rsc: false,
  udpCsum: true,
};
const link: Link = {
  index: 7,
  name: 'flannel.1',
  kind: 'vxlan',
  flags: IFF_UP,
  mtu: 1450,
  mac: spec.mac,
  operState: 0,
  vxlan,
};

describe('incompatibility', () => {
  test('finds none in a device that flannel made', () => {
    expect(incompatibility(spec, link)).toBeUndefined();
  });

  test.for<{ name: string; has: Partial<VxlanAttributes>; want: string }>([
    { name: 'VNI', has: { vni: 2 }, want: 'has VNI 2' },
    { name: 'port', has: { port: 4789 }, want: 'has port 4789' },
    { name: 'underlay device', has: { lowerIndex: 9 }, want: 'is not on eth0' },
    { name: 'local address', has: { local: parseIp('10.0.0.1') }, want: 'has local address 10.0.0.1' },
    { name: 'group', has: { group: parseIp('239.1.1.1') }, want: 'has remote 239.1.1.1' },
    { name: 'learning', has: { learning: true }, want: 'learns' },
    { name: 'gbp', has: { gbp: true }, want: 'has gbp' },
    { name: 'l3miss', has: { l3miss: true }, want: 'has l3miss' },
    { name: 'proxy', has: { proxy: true }, want: 'has proxy' },
    { name: 'external', has: { collectMetadata: true }, want: 'has collectMetadata' },
  ])('names another $name', ({ has, want }) => {
    expect(incompatibility(spec, { ...link, vxlan: { ...vxlan, ...has } })).toBe(want);
  });

  test('names a missing attribute, and a device of another kind', () => {
    const { local: _, ...without } = vxlan;
    expect(incompatibility(spec, { ...link, vxlan: without })).toBe('has no local address');
    expect(incompatibility({ ...spec, gbp: true }, link)).toBe('lacks gbp');
    expect(incompatibility({ ...spec, learning: true }, link)).toBe('does not learn');
    const { vxlan: __, ...dummy } = link;
    expect(incompatibility(spec, { ...dummy, kind: 'dummy' })).toBe('is of kind dummy');
  });
});

describe('isMisplaced', () => {
  test.for<{ name: string; has: Partial<VxlanAttributes>; want: boolean }>([
    { name: 'nothing', has: {}, want: false },
    { name: 'another device underneath', has: { lowerIndex: 9 }, want: true },
    { name: 'another address', has: { local: parseIp('10.0.0.1') }, want: true },
    { name: 'both', has: { lowerIndex: 9, local: parseIp('10.0.0.1') }, want: true },
    { name: 'an address of IPv6', has: { local: parseIp('fd00::1') }, want: false },
    { name: 'another port besides', has: { lowerIndex: 9, port: 4789 }, want: false },
    { name: 'another port only', has: { port: 4789 }, want: false },
  ])('with $name: $want', ({ has, want }) => {
    expect(isMisplaced(spec, { ...link, vxlan: { ...vxlan, ...has } })).toBe(want);
  });
});

describe('adjustment', () => {
  test('changes nothing on a correct device', () => {
    expect(adjustment(spec, link)).toBeUndefined();
  });

  test.for<{ name: string; has: Partial<Link>; want: object }>([
    { name: 'the MTU', has: { mtu: 1400 }, want: { mtu: 1450 } },
    { name: 'the MAC', has: { mac: parseMac('02:00:00:00:09:09') }, want: { mac: '02:00:00:00:01:01' } },
    { name: 'a device that is down', has: { flags: 0 }, want: { up: true } },
  ])('changes only $name', ({ has, want }) => {
    expect(adjustment(spec, { ...link, ...has })).toEqual({ index: 7, name: 'flannel.1', ...want });
  });
});

describe('vxlanMtu', () => {
  test.for<{ name: string; family: 4 | 6; underlay: number; configured?: number; want: number }>([
    { name: 'IPv4 takes 50', family: 4, underlay: 1500, want: 1450 },
    { name: 'IPv6 takes 70', family: 6, underlay: 1500, want: 1430 },
    { name: 'a configured underlay MTU is used', family: 4, underlay: 9000, configured: 1500, want: 1450 },
    {
      name: 'a configured MTU above the interface’s is not used',
      family: 4,
      underlay: 1500,
      configured: 9000,
      want: 1450,
    },
    { name: 'the least for IPv4', family: 4, underlay: 118, want: 68 },
    { name: 'the least for IPv6', family: 6, underlay: 1350, want: 1280 },
  ])('$name', ({ family, underlay, configured, want }) => {
    expect(vxlanMtu(family, { name: 'eth0', mtu: underlay }, configured)).toBe(want);
  });

  test.for([
    {
      family: 4 as const,
      mtu: 117,
      want: 'vxlan: use eth0 with MTU 117: too small (VXLAN over IPv4 needs an interface MTU of at least 118)',
    },
    {
      family: 6 as const,
      mtu: 1349,
      want: 'vxlan: use eth0 with MTU 1349: too small (VXLAN over IPv6 needs an interface MTU of at least 1350)',
    },
  ])('refuses $mtu for IPv$family', ({ family, mtu, want }) => {
    expect(() => vxlanMtu(family, { name: 'eth0', mtu })).toThrow(want);
  });
});

describe('isRenamed', () => {
  test.for<{ name: string; has: Partial<Link>; want: boolean }>([
    { name: 'its own MAC and address', has: {}, want: true },
    { name: 'another MAC', has: { mac: parseMac('02:00:00:00:09:09') }, want: false },
    { name: 'another address', has: { vxlan: { ...vxlan, local: parseIp('10.0.0.1') } }, want: false },
  ])('with $name: $want', ({ has, want }) => {
    expect(isRenamed(spec, { ...link, name: 'tunnel9', ...has })).toBe(want);
  });
});

test('devices are called as flannel calls them', () => {
  expect([vxlanDeviceName(4, 1), vxlanDeviceName(6, 4096)]).toEqual(['flannel.1', 'flannel-v6.4096']);
});
