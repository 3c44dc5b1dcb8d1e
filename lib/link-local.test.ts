import { expect, test } from 'vitest';
import { formatIp } from './ip.ts';
import { linkLocalOf } from './link-local.ts';
import { parseMac } from './mac.ts';

test.for([
  { mac: '0a:58:0a:f4:01:01', want: 'fe80::858:aff:fef4:101' },
  { mac: '34:56:78:9a:bc:de', want: 'fe80::3656:78ff:fe9a:bcde' }, // RFC 4291 appendix A
  { mac: '02:00:00:00:00:01', want: 'fe80::ff:fe00:1' },
])('the link-local address of $mac is $want', ({ mac, want }) => {
  expect(formatIp(linkLocalOf(parseMac(mac)))).toBe(want);
});
