import { describe, expect, test } from 'vitest';
import { formatIp, formatPrefix, parseIp } from '../../lib/ip.ts';
import { isJsonObject, parseJson } from '../../lib/json.ts';
import type { Invocation } from '../protocol/plugin.ts';
import { parseResult } from '../protocol/result-parse.ts';
import { containerAddresses, mappingsOf, readConfig } from './portmap-config.ts';

function object(value: object) {
  const parsed = parseJson(JSON.stringify(value));
  if (!isJsonObject(parsed)) throw new Error('not an object');
  return parsed;
}

const read = (config: object) => readConfig({ config: object(config) } as unknown as Invocation);

const mapping = { hostPort: 8080, containerPort: 80, protocol: 'tcp' };
const withMapping = (keys: object) => ({ runtimeConfig: { portMappings: [{ ...mapping, ...keys }] } });

describe('readConfig', () => {
  test('has the defaults of the Go plugin', () => {
    expect(read({})).toEqual({
      backend: undefined,
      snat: true,
      masqAll: false,
      markBit: 13,
      externalSetMarkChain: undefined,
      conditions: { 4: [], 6: [] },
      mappings: [],
    });
  });

  test('reads mappings in the letter case of containerd and of CRI-O', () => {
    const capitals = { HostPort: 53, ContainerPort: 5353, Protocol: 'UDP', HostIP: '192.0.2.1' };
    const { mappings } = read({ runtimeConfig: { portMappings: [capitals, mapping] } });
    expect(mappings).toEqual([
      { hostPort: 53, containerPort: 5353, protocol: 'udp', hostIp: parseIp('192.0.2.1') },
      { ...mapping, hostIp: undefined },
    ]);
  });

  test.for([
    { name: 'no backend configured', config: {}, want: undefined },
    { name: 'a backend configured', config: { backend: 'nftables' }, want: 'nftables' },
    { name: 'words of iptables', config: { conditionsV4: ['-d', '192.0.2.0/24'] }, want: 'iptables' },
    { name: 'negated words of iptables', config: { conditionsV6: ['!', '-d', 'fd00::/8'] }, want: 'iptables' },
    { name: 'words of nft', config: { conditionsV4: ['ip', 'daddr', '192.0.2.0/24'] }, want: 'nftables' },
    { name: 'a chain of iptables', config: { externalSetMarkChain: 'KUBE-MARK-MASQ' }, want: 'iptables' },
    { name: 'empty conditions', config: { conditionsV4: [] }, want: undefined },
  ])('chooses the backend that supports the configuration: $name', ({ config, want }) => {
    expect(read(config).backend).toBe(want);
  });

  test.for([
    { name: 'port 0', config: withMapping({ hostPort: 0 }), want: 'Invalid host port number: 0' },
    { name: 'no port', config: withMapping({ hostPort: null }), want: 'Invalid host port number: 0' },
    {
      name: 'port 65536',
      config: withMapping({ containerPort: 65_536 }),
      want: 'Invalid container port number: 65536',
    },
    { name: 'a negative port', config: withMapping({ hostPort: -1 }), want: 'Invalid host port number: -1' },
    {
      name: 'a protocol with words of nft',
      config: withMapping({ protocol: 'tcp accept' }),
      want: 'protocol: expected tcp, udp or sctp, got "tcp accept"',
    },
    { name: 'no protocol', config: withMapping({ protocol: '' }), want: 'protocol: expected tcp, udp or sctp, got ""' },
    {
      name: 'an address that is none',
      config: withMapping({ hostIP: '1.2.3' }),
      want: 'hostIP: expected an address, got "1.2.3"',
    },
    {
      name: 'a port in quotes',
      config: withMapping({ hostPort: '80' }),
      want: 'hostPort: expected a whole number, got "80"',
    },
    {
      name: 'a chain with an option in it',
      config: { externalSetMarkChain: 'X -j ACCEPT' },
      want: 'externalSetMarkChain: expected the name of a chain',
    },
    {
      name: 'a condition with a line end',
      config: { conditionsV4: ['ip', 'saddr 10.0.0.1\naccept'] },
      want: 'a condition must not hold',
    },
    {
      name: 'a condition that ends the rule',
      config: { conditionsV4: ['ip', 'accept; flush ruleset'] },
      want: 'a condition must not hold',
    },
    {
      name: 'conditions of both backends',
      config: { conditionsV4: ['-d', '192.0.2.1'], conditionsV6: ['ip6', 'daddr', '::1'] },
      want: 'iptables backend was requested but configuration contains nftables-specific options [conditionsV6]',
    },
    {
      name: 'everything for iptables with nftables',
      config: { backend: 'nftables', externalSetMarkChain: 'X', conditionsV4: ['-d', '192.0.2.1'] },
      want: 'configuration contains iptables-specific options [externalSetMarkChain conditionsV4]',
    },
  ])('refuses $name', ({ config, want }) => {
    expect(() => read(config)).toThrow('failed to parse config: ');
    expect(() => read(config)).toThrow(want);
  });
});

describe('mappingsOf', () => {
  test.for([
    { hostIP: '', want: [4, 6] },
    { hostIP: '0.0.0.0', want: [4] },
    { hostIP: '192.0.2.1', want: [4] },
    { hostIP: '::', want: [6] },
    { hostIP: 'fd00::1', want: [6] },
  ])('a mapping of host address "$hostIP" is of families $want', ({ hostIP, want }) => {
    const config = read(withMapping({ hostIP }));
    const found = ([4, 6] as const).filter((family) => mappingsOf(config, family).length > 0);
    expect(found).toEqual(want);
  });

  test('an unspecified address limits to no address', () => {
    const [any] = mappingsOf(read(withMapping({ hostIP: '0.0.0.0' })), 4);
    const [one] = mappingsOf(read(withMapping({ hostIP: '192.0.2.1' })), 4);
    expect(any?.hostIp).toBeUndefined();
    expect(one?.hostIp && formatIp(one.hostIp)).toBe('192.0.2.1');
  });
});

describe('containerAddresses', () => {
  const interfaces = [
    { name: 'cni0' },
    { name: 'eth0', sandbox: '/run/netns/c1' },
    { name: 'net1', sandbox: '/run/netns/c1' },
  ];
  const addresses = (ips: object[]) =>
    containerAddresses(parseResult(object({ cniVersion: '1.0.0', interfaces, ips }), '1.0.0'), 'eth0').map(
      formatPrefix,
    );

  test.for([
    {
      name: 'the first of each family',
      ips: [
        ['10.0.0.2/24', 1],
        ['10.0.0.3/24', 1],
        ['fd00::2/64', 1],
      ],
      want: ['10.0.0.2/24', 'fd00::2/64'],
    },
    {
      name: 'none of the host or of another interface',
      ips: [
        ['10.0.0.1/24', 0],
        ['10.0.1.2/24', 2],
      ],
      want: [],
    },
    { name: 'an address without an interface', ips: [['10.0.0.2/24', undefined]], want: ['10.0.0.2/24'] },
    { name: 'an address whose interface is not in the result', ips: [['10.0.0.2/24', 7]], want: ['10.0.0.2/24'] },
  ])('takes $name', ({ ips, want }) => {
    expect(addresses(ips.map(([address, index]) => ({ address, interface: index })))).toEqual(want);
  });
});
