import { describe, expect, test } from 'vitest';
import { formatIp, parseIp, parsePrefix } from '../../../lib/ip.ts';
import { parsePort } from './path-command.ts';
import { placesOf, type Surroundings } from './place.ts';

const lease = (subnet: string, publicIp: string) => ({
  ...{ subnet: parsePrefix(subnet), publicIp: parseIp(publicIp), backendType: 'vxlan' },
});
const around: Surroundings = {
  node: 'node-1',
  networks: [parsePrefix('10.244.0.0/16'), parsePrefix('fd00:244::/48')],
  subnets: [parsePrefix('10.244.1.0/24'), parsePrefix('fd00:244:0:1::/64')],
  ownAddresses: [parseIp('192.0.2.1'), parseIp('10.244.1.1')],
  ownKey: 'node-1',
  leases: new Map([
    ['node-1', lease('10.244.1.0/24', '192.0.2.1')],
    ['node-2', lease('10.244.2.0/24', '192.0.2.2')],
  ]),
  pods: [
    { containerId: 'c0ffee00aa', name: 'shop/web-1', ips: [parseIp('fd00:244:0:1::5'), parseIp('10.244.1.5')] },
    { containerId: 'deadbeef11', name: undefined, ips: [parseIp('10.244.1.6')] },
  ],
};

describe('placesOf', () => {
  test.for([
    { word: '10.244.1.9', kind: 'pod here', ip: '10.244.1.9' },
    { word: 'shop/web-1', kind: 'pod here', ip: '10.244.1.5' },
    { word: 'web-1', kind: 'pod here', ip: '10.244.1.5' },
    { word: 'deadbeef', kind: 'pod here', ip: '10.244.1.6' },
    { word: '10.244.2.9', kind: 'pod there', ip: '10.244.2.9', peer: 'node-2' },
    { word: 'node-1', kind: 'this node', ip: '192.0.2.1' },
    { word: '10.244.1.1', kind: 'this node', ip: '10.244.1.1' },
    { word: 'node-2', kind: 'other node', ip: '192.0.2.2', peer: 'node-2' },
    { word: '10.244.9.9', kind: 'no node', ip: '10.244.9.9' },
    { word: '10.96.0.1', kind: 'outside', ip: '10.96.0.1' },
  ])('$word is $kind', ({ word, kind, ip, peer }) => {
    const { to } = placesOf('10.244.1.2', word, around);
    expect({ ...to, ip: formatIp(to.ip) }).toMatchObject({ kind, ip, ...(peer !== undefined && { peer }) });
  });

  test('uses the addresses of the family that both ends have', () => {
    const { from } = placesOf('shop/web-1', 'fd00:244:0:2::7', around);
    expect(formatIp(from.ip)).toBe('fd00:244:0:1::5');
    expect(() => placesOf('node-2', 'fd00::1', around)).toThrow('have no addresses of the same family');
  });

  test.for([{ word: 'dead' }, { word: 'nobody' }, { word: '' }, { word: '__proto__' }])(
    'refuses "$word"',
    ({ word }) => {
      expect(() => placesOf(word, '10.244.1.2', around)).toThrow(`${JSON.stringify(word)} is no address, no node`);
    },
  );
});

test.for([
  { text: '443', want: { port: 443, protocol: 'tcp' } },
  { text: '53/udp', want: { port: 53, protocol: 'udp' } },
  { text: '65536', want: undefined },
  { text: '53/sctp', want: undefined },
  { text: '-1', want: undefined },
])('PORT $text', ({ text, want }) => {
  if (want === undefined) expect(() => parsePort(text)).toThrow('PORT: expected 1–65535');
  else expect(parsePort(text)).toEqual(want);
});
