import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { parseIp } from '../ip.ts';
import { isUnicastMac } from '../mac.ts';
import { bridgeMac, hashedMac, hostMac, hostVethName, podMac } from './names.ts';

/** Container ids as runtimes make them. */
function containerId(n: number): string {
  return createHash('sha256').update(String(n)).digest('hex');
}

describe('hostVethName', () => {
  test('fits the kernel’s limit and begins like other plugins’ names', () => {
    for (const cid of ['c', containerId(1), 'x'.repeat(300)])
      expect(hostVethName(cid, 'eth0')).toMatch(/^veth[0-9a-f]{11}$/);
  });

  test('never changes: pods made before an upgrade are found after it', () => {
    expect(hostVethName('c1', 'eth0')).toBe('veth998706366fa');
  });

  test('differs among 100,000 attachments, also where ids differ in one place', () => {
    const names = new Set<string>();
    for (let n = 0; n < 40_000; n++) names.add(hostVethName(containerId(n), 'eth0'));
    for (let n = 0; n < 40_000; n++) names.add(hostVethName(`container-${n}`, 'eth0'));
    for (let n = 0; n < 20_000; n++) names.add(hostVethName('c1', `net${n}`));
    expect(names.size).toBe(100_000);
  });

  test('does not confuse its parts', () => {
    expect(hostVethName('c1e', 'th0')).not.toBe(hostVethName('c1', 'eth0'));
  });
});

test.for([
  { name: 'podMac', mac: podMac(parseIp('10.244.1.7')), want: '0a:58:0a:f4:01:07' },
  { name: 'hostMac', mac: hostMac(parseIp('10.244.1.7')), want: '0a:59:0a:f4:01:07' },
  { name: 'podMac of IPv6', mac: podMac(parseIp('fd00::1:2')), want: '0a:58:00:01:00:02' },
  { name: 'bridgeMac', mac: bridgeMac(parseIp('10.244.1.1'), 'cni0'), want: '0a:58:0a:f4:01:01' },
])('$name follows from the address', ({ mac, want }) => {
  expect(mac).toBe(want);
});

test('MACs made without an address are unicast, and differ by attachment and end', () => {
  const macs = [
    hashedMac('pod', 'c1', 'eth0'),
    hashedMac('host', 'c1', 'eth0'),
    hashedMac('pod', 'c2', 'eth0'),
    bridgeMac(undefined, 'cni0'),
    bridgeMac(undefined, 'cni1'),
  ];
  expect(new Set(macs).size).toBe(5);
  expect(macs.every(isUnicastMac)).toBe(true);
});
