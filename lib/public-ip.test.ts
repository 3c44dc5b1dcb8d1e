import { describe, expect, test } from 'vitest';
import { parseIp, parsePrefix } from './ip.ts';
import { findPublicIpProblem, publicIpExpected } from './public-ip.ts';

const networks = [parsePrefix('10.244.0.0/16'), parsePrefix('fd00:10:244::/48')];

describe('findPublicIpProblem', () => {
  test.for([
    { ip: '127.0.0.1', want: 'is a loopback address' },
    { ip: '127.255.255.254', want: 'is a loopback address' },
    { ip: '::1', want: 'is a loopback address' },
    { ip: '0.0.0.0', want: 'is the unspecified address' },
    { ip: '::', want: 'is the unspecified address' },
    { ip: '224.0.0.1', want: 'is a multicast address' },
    { ip: 'ff02::1', want: 'is a multicast address' },
    { ip: '255.255.255.255', want: 'is the broadcast address' },
    { ip: '::ffff:192.0.2.1', want: 'is an IPv4-mapped address' },
    { ip: '10.244.255.255', want: 'lies inside the pod network 10.244.0.0/16' },
    { ip: 'fd00:10:244::1', want: 'lies inside the pod network fd00:10:244::/48' },
    { ip: '192.0.2.1', want: undefined },
    { ip: '10.245.0.1', want: undefined },
    { ip: 'fe80::1', want: undefined },
    { ip: '2001:db8::1', want: undefined },
  ])('$ip', ({ ip, want }) => {
    expect(findPublicIpProblem(parseIp(ip), networks)).toBe(want);
  });
});

test('the text of what is allowed names the pod network of that family', () => {
  expect(publicIpExpected(6, networks)).toBe(
    'an IPv6 unicast address that other nodes can send to, outside the pod network fd00:10:244::/48',
  );
  expect(publicIpExpected(4, [])).toBe('an IPv4 unicast address that other nodes can send to');
});
