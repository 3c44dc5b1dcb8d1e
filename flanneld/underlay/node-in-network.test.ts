import { describe, expect, test } from 'vitest';
import { formatIp, parseIp, parsePrefix } from '../../lib/ip.ts';
import { findInNetwork, inNetworkProblem, type NodeFacts, nameServersIn } from './node-in-network.ts';

const family = { network: parsePrefix('10.244.0.0/16'), subnet: parsePrefix('10.244.1.0/24'), deviceIndex: 7 };
const names = new Map([
  [1, 'lo'],
  [2, 'eth0'],
  [3, 'cni0'],
  [7, 'flannel.1'],
]);

function facts(over: Partial<NodeFacts>): NodeFacts {
  return { addresses: [], routes: [], others: [], nameOf: (index) => names.get(index) ?? '?', ...over };
}

const address = (text: string, index: number): NodeFacts['addresses'][number] => ({
  ...({ family: 4, flags: 0, scope: 0 } as unknown as NodeFacts['addresses'][number]),
  index,
  ip: parseIp(text),
  length: 24,
});
const route = (gateway: string, oif: number): NodeFacts['routes'][number] => ({
  ...({ family: 4, table: 254, type: 1 } as unknown as NodeFacts['routes'][number]),
  destination: parsePrefix('0.0.0.0/0'),
  gateway: parseIp(gateway),
  oif,
});

describe('an address inside the pod network that the node needs', () => {
  test.for<{ name: string; given: Partial<NodeFacts>; want: string[] }>([
    { name: 'an address', given: { addresses: [address('10.244.9.5', 2)] }, want: ['address 10.244.9.5 of eth0'] },
    { name: 'a gateway', given: { routes: [route('10.244.9.1', 2)] }, want: ['gateway 10.244.9.1 of eth0'] },
    {
      name: 'a DNS server',
      given: { others: [{ ip: parseIp('10.244.0.10'), what: 'DNS server % (/etc/resolv.conf)' }] },
      want: ['DNS server 10.244.0.10 (/etc/resolv.conf)'],
    },
    {
      name: 'a Service, as IPVS has it on a device of its own, and once',
      given: { addresses: [address('10.244.0.1', 1), address('10.244.0.1', 1)] },
      want: ['address 10.244.0.1 of lo'],
    },
    { name: 'not the bridge’s own address', given: { addresses: [address('10.244.1.1', 3)] }, want: [] },
    { name: 'not the device’s', given: { addresses: [address('10.244.77.0', 7)] }, want: [] },
    { name: 'not the way to other pods', given: { routes: [route('10.244.2.0', 7)] }, want: [] },
    {
      name: 'not what lies elsewhere',
      given: {
        addresses: [address('192.168.50.11', 2)],
        routes: [route('192.168.50.1', 2)],
        others: [{ ip: parseIp('10.96.0.1'), what: 'Service %' }],
      },
      want: [],
    },
    {
      name: 'not what is of the other family',
      given: { others: [{ ip: parseIp('fd00::1'), what: 'DNS server %' }] },
      want: [],
    },
  ])('$name', ({ given, want }) => {
    expect(findInNetwork(family, facts(given))).toEqual(want);
  });

  test('is reported with its effect and what to do, however many there are', () => {
    const problem = inNetworkProblem(family.network, ['a', 'b', 'c', 'd', 'e', 'f']);
    expect(problem).toMatch(
      /^no unreachable route for 10\.244\.0\.0\/16, because this node needs a, b, c, d and 2 more in it/,
    );
    expect(problem).toContain('leave by the default route');
    expect(problem).toContain('--ip-unreachable-route=false');
  });
});

describe('nameServersIn', () => {
  test('reads what resolv.conf(5) allows, and ignores the rest', () => {
    const text = [
      '# nameserver 10.0.0.1',
      'nameserver 10.244.0.10',
      'nameserver\t fd00::53',
      'nameserver fe80::1%eth0',
      'nameserver nonsense',
      'search example.org',
      ' nameserver 10.0.0.2',
    ].join('\n');
    expect(nameServersIn(text).map(formatIp)).toEqual(['10.244.0.10', 'fd00::53', 'fe80::1']);
  });
});
