import { describe, expect, test } from 'vitest';
import { parseIp, parsePrefix } from '../../lib/ip.ts';
import { vxlanLease } from '../../test/support/leases.ts';
import type { Lease } from '../subnet/manager.ts';
import { checkFlagAddress, ownAddressChecker } from './own-address.ts';

const published = [{ family: 4 as const, subnet: parsePrefix('10.244.1.0/24'), publicIp: parseIp('192.168.50.11') }];
const own = vxlanLease('10.244.1.0/24', '192.168.50.11', '02:00:00:00:01:01');
const other = vxlanLease('10.244.2.0/24', '192.168.50.12', '02:00:00:00:01:02');
const old = vxlanLease('10.244.3.0/24', '192.168.50.11', '02:00:00:00:01:03');

function problems(leases: Record<string, Lease>, ownKey?: string): (string | undefined)[] {
  const snapshot = { leases: new Map(Object.entries(leases)), problems: [], ...(ownKey !== undefined && { ownKey }) };
  return ownAddressChecker('node-1', published)(snapshot).map(({ problem }) => problem);
}

describe('ownAddressChecker', () => {
  test('reports neither our own lease nor other addresses of peers', () => {
    expect(problems({ 'node-1': own, 'node-2': other }, 'node-1')).toEqual([]);
    // etcd names a lease by its subnet.
    expect(problems({ '10.244.1.0-24': own })).toEqual([]);
  });

  test('names both nodes that publish one address, and refuses neither', () => {
    expect(problems({ 'node-1': own, 'node-old': old }, 'node-1')).toEqual([
      expect.stringMatching(/^192\.168\.50\.11 is published by node-1 and by node-old, so packets/),
    ]);
    const snapshot = { leases: new Map([['x', old]]), problems: [] };
    expect(ownAddressChecker('node-1', published)(snapshot).every(({ required }) => !required)).toBe(true);
  });

  test('judges the snapshot that it is given', () => {
    const checks = ownAddressChecker('node-1', published);
    const [alone, shared] = [{ 'node-2': other }, { 'node-2': other, 'node-old': old }].map((leases) => ({
      leases: new Map(Object.entries(leases)),
      problems: [],
    }));
    expect([alone, shared, shared, alone].map((snapshot) => snapshot && checks(snapshot).length)).toEqual([0, 1, 1, 0]);
  });

  test('shows the refused value', () => {
    const snapshot = { leases: new Map(), problems: [], nodeAddresses: { refused: ['annotation x: …'] } };
    expect(ownAddressChecker('node-1', published)(snapshot)).toEqual([
      { name: 'own address', problem: 'annotation x: …', required: false },
    ]);
  });
});

describe('checkFlagAddress', () => {
  const check = (text: string) => () =>
    checkFlagAddress('--public-ip', parseIp(text), [parsePrefix('10.244.0.0/16')], () => text === '192.168.50.255');

  test('accepts an address that others can send to, and an absent one', () => {
    expect(check('203.0.113.7')).not.toThrow();
    expect(() => checkFlagAddress('--public-ip', undefined, [], () => true)).not.toThrow();
  });

  test.for([
    { ip: '10.244.0.1', why: 'lies inside the pod network 10.244.0.0/16' },
    { ip: '192.168.50.255', why: 'is the broadcast address of a link of this node' },
  ])('refuses $ip with flag, value and what is allowed', ({ ip, why }) => {
    expect(check(ip)).toThrow(
      `flag: --public-ip: expected an IPv4 unicast address that other nodes can send to, outside the pod network ` +
        `10.244.0.0/16, got "${ip}", which ${why}`,
    );
  });
});
