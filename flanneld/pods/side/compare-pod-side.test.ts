import { describe, expect, test } from 'vitest';
import { type Family, parseIp, parsePrefix } from '../../../lib/ip.ts';
import type { Address } from '../../../lib/rtnetlink/address.ts';
import type { Link } from '../../../lib/rtnetlink/link.ts';
import { IFF_UP } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { comparePodSide } from './compare-pod-side.ts';
import type { Attachment } from './observe-pod-side.ts';
import type { WantedPodSide } from './want.ts';

const wanted: WantedPodSide = {
  bridge: 'cni0',
  gateways: [
    { ip: parseIp('10.244.1.1'), length: 24 },
    { ip: parseIp('fd00:0:0:1::1'), length: 64 },
  ],
  networks: [parsePrefix('10.244.0.0/16'), parsePrefix('fd00::/48')],
  mtuBytes: 1450,
};
const bridge: Link = {
  ...{ index: 5, name: 'cni0', kind: 'bridge', flags: IFF_UP, mtu: 1450, operState: 6 },
};
const port: Link = { ...bridge, index: 6, name: 'veth1', kind: 'veth', master: 5, port: { hairpin: true } };
const attachment: Attachment = { containerId: 'c1', ifname: 'eth0', bridge: 'cni0', hairpin: true };

function address(text: string): Address {
  const { ip, length } = { ip: parseIp(text.split('/')[0] ?? ''), length: Number(text.split('/')[1]) };
  return { index: 5, family: ip.family as Family, ip, length, scope: 0, flags: 0 };
}

const own = ['10.244.1.1/24', 'fd00:0:0:1::1/64', 'fe80::1/64'];

function compare(
  addresses: readonly string[],
  ports: readonly Link[],
  more: { bridge?: Link; loose?: readonly Link[]; attachment?: Attachment | undefined } = {},
) {
  const observed = { bridge: more.bridge ?? bridge, addresses: addresses.map(address), ports, loose: more.loose ?? [] };
  const of = 'attachment' in more ? more.attachment : attachment;
  const { repairs, findings } = comparePodSide(wanted, observed, () => of);
  return {
    commands: repairs.flatMap(({ requests }) => requests.map((request) => request.command?.())),
    findings: findings.map(({ problem, required }) => `${required ? 'required' : 'warning'}: ${problem}`),
  };
}

const nothing = { commands: [], findings: [] };

describe('comparePodSide', () => {
  test('finds nothing wrong when all is right, and when there is no bridge yet', () => {
    expect(compare(own, [port])).toEqual(nothing);
    const none = { bridge: undefined, addresses: [], ports: [], loose: [port] };
    expect(comparePodSide(wanted, none, () => undefined)).toEqual({ repairs: [], findings: [] });
  });

  test('makes a bridge anew that was removed under its pods, with the MAC that the pods know', () => {
    const { repairs } = comparePodSide(
      wanted,
      { bridge: undefined, addresses: [], ports: [], loose: [port] },
      () => attachment,
    );
    expect(repairs.flatMap(({ requests }) => requests.map((request) => request.command?.()))).toEqual([
      'ip link add cni0 address 0a:58:0a:f4:01:01 type bridge && ip link set cni0 up',
      'ip link set cni0 mtu 1450',
    ]);
  });

  test('does not change a bridge without ports and addresses, because the next ADD does', () => {
    expect(compare([], [], { bridge: { ...bridge, mtu: 1500 } })).toEqual(nothing);
  });

  test('adds missing addresses to a bridge that has ports', () => {
    expect(compare(['fe80::1/64'], [port]).commands).toEqual([
      'ip addr add 10.244.1.1/24 broadcast 10.244.1.255 dev cni0',
      'ip addr add fd00:0:0:1::1/64 dev cni0 nodad',
    ]);
  });

  test('replaces addresses of another subnet while the bridge has no ports, and adds the new one first', () => {
    expect(compare(['10.244.9.1/24', 'fd00:0:0:1::1/64', 'fd00:0:0:9::1/64'], []).commands).toEqual([
      'ip addr add 10.244.1.1/24 broadcast 10.244.1.255 dev cni0',
      'ip addr del 10.244.9.1/24 dev cni0',
      'ip addr del fd00:0:0:9::1/64 dev cni0',
    ]);
  });

  test('reports such addresses of either family while pods are attached, also beside the right one', () => {
    const { commands, findings } = compare([...own, 'fd00:0:0:9::1/64'], [port]);
    expect(commands).toEqual([]);
    expect(findings).toEqual([expect.stringContaining("required: cni0 has fd00:0:0:9::1/64, but this node's")]);
  });

  test.for(['192.168.77.1/24', '10.244.1.9/24', 'fd77::1/64'])(
    'keeps the additional address %s, which does no harm',
    (other) => {
      expect(compare([...own, other], [port])).toEqual(nothing);
      expect(compare([...own, other], [])).toEqual(nothing);
    },
  );

  test('sets a bridge up, and gives it the MTU of the network, or of its smallest port', () => {
    const wrong = { ...bridge, flags: 0, mtu: 1300 };
    expect(compare(own, [port], { bridge: wrong }).commands).toEqual([
      'ip link set cni0 up',
      'ip link set cni0 mtu 1450',
    ]);
    expect(compare(own, [{ ...port, mtu: 1400 }]).commands).toEqual(['ip link set cni0 mtu 1400']);
  });

  test('reports pods with another MTU than the network has now', () => {
    expect(compare(own, [{ ...port, mtu: 1500 }, port])).toEqual({
      commands: [],
      findings: [expect.stringContaining('warning: 1 pod has MTU 1500, but the network has 1450 now')],
    });
  });

  test('puts a pod’s device back on its bridge, and switches its hairpin mode on', () => {
    const { master: _, port: __, ...loose } = port;
    expect(compare(own, [], { loose: [loose] }).commands).toEqual([
      'ip link set veth1 master cni0 up',
      'ip link set veth1 type bridge_slave hairpin on',
    ]);
    expect(compare(own, [{ ...port, port: { hairpin: false } }]).commands).toEqual([
      'ip link set veth1 type bridge_slave hairpin on',
    ]);
  });

  test.for<{ name: string; attachment: Attachment | undefined }>([
    { name: 'nobody’s', attachment: undefined },
    { name: 'of another bridge', attachment: { ...attachment, bridge: 'other0' } },
  ])('does not change a device $name', ({ attachment: of }) => {
    const { master: _, ...loose } = port;
    const options = { loose: [loose], attachment: of };
    expect(compare(own, [{ ...port, port: { hairpin: false } }], options)).toEqual(nothing);
  });
});
