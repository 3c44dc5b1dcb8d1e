import { describe, expect, test } from 'vitest';
import { parseIp } from '../../../lib/ip.ts';
import { parseMac } from '../../../lib/mac.ts';
import { vxlanLease } from '../../../test/support/leases.ts';
import { chooseVtepMac, type MacSources } from './vtep-mac.ts';

const saved = vxlanLease('10.244.1.0/24', '192.168.50.11', '02:00:00:00:01:01');
const other = vxlanLease('10.244.2.0/24', '192.168.50.12', '02:00:00:00:01:02');

function choose(leases: Record<string, typeof saved>, over: Partial<MacSources> = {}): string {
  return chooseVtepMac({
    family: 4,
    leases: new Map(Object.entries(leases)),
    ownKey: undefined,
    publicIp: parseIp('192.168.50.11'),
    existing: undefined,
    random: () => new Uint8Array([0xff, 1, 2, 3, 4, 5]),
    ...over,
  });
}

const existing = parseMac('02:00:00:00:01:77');

describe('chooseVtepMac', () => {
  test('takes the MAC peers know from our saved lease', () => {
    expect(choose({ other, saved }, { existing })).toBe('02:00:00:00:01:01');
  });

  test('recognises our lease by its key when the store knows it, whatever public address the lease has', () => {
    const overwritten = vxlanLease('10.244.1.0/24', '203.0.113.9', '02:00:00:00:01:01');
    expect(choose({ other, node: overwritten }, { ownKey: 'node', existing })).toBe('02:00:00:00:01:01');
    const sameAddress = vxlanLease('10.244.2.0/24', '192.168.50.11', '02:00:00:00:01:02');
    expect(choose({ sameAddress }, { ownKey: 'node', existing })).toBe(existing);
  });

  test('uses the existing device’s MAC when no lease of ours is saved', () => {
    expect(choose({ other }, { existing })).toBe('02:00:00:00:01:77');
  });

  test('makes a random local unicast MAC when there is neither', () => {
    expect(choose({})).toBe('fe:01:02:03:04:05');
  });

  test.for([
    {
      name: 'a saved MAC that another node had before',
      leases: {
        saved: { ...saved, created: '2' },
        other: { ...vxlanLease('10.244.2.0/24', '192.168.50.12', '02:00:00:00:01:01'), created: '1' },
      },
    },
    {
      name: 'the existing device’s MAC, which another node has',
      leases: { other: vxlanLease('10.244.2.0/24', '192.168.50.12', existing) },
    },
  ])('does not use $name', ({ leases }) => {
    expect(choose(leases, { existing: 'other' in leases && !('saved' in leases) ? existing : undefined })).toBe(
      'fe:01:02:03:04:05',
    );
  });

  test('keeps a saved MAC that a later lease claims as well', () => {
    const clone = { ...vxlanLease('10.244.2.0/24', '192.168.50.12', '02:00:00:00:01:01'), created: '2' };
    expect(choose({ aaa: clone, saved: { ...saved, created: '1' } })).toBe('02:00:00:00:01:01');
  });

  test('does not use a saved text that is no MAC', () => {
    expect(choose({ saved: { ...saved, backendData: 'x' } }, { existing })).toBe(existing);
    const multicast = vxlanLease('10.244.1.0/24', '192.168.50.11', '01:00:5e:00:00:01');
    expect(choose({ saved: multicast }, { existing })).toBe(existing);
  });

  test('tries again when the random MAC belongs to another node', () => {
    const draws = [new Uint8Array([2, 0, 0, 0, 1, 2]), new Uint8Array([2, 0, 0, 0, 1, 9])];
    const random = (): Uint8Array => draws.shift() ?? new Uint8Array(6);
    expect(choose({ other }, { random })).toBe('02:00:00:00:01:09');
  });
});
