// Tests a node that moves: by which way each peer is reached, what leases contain, and which routes exist.

import { describe, expect, test } from 'vitest';
import { formatPrefix, parseIp, parsePrefix } from '../../../lib/ip.ts';
import { type JsonValue, jsonObject } from '../../../lib/json.ts';
import type { Lease } from '../../subnet/manager.ts';
import { wireguardPeers } from '../wireguard/wireguard-peers.ts';
import { moveDataOf, movedLeases, notYetMoved, onlyMoved } from './moved-lease.ts';
import { halvesOf } from './moved-route.ts';
import { joinPeers } from './moving-peers.ts';

const keyOf = (byte: number): string => Buffer.alloc(32, byte).toString('base64');

function lease(host: number, more: Partial<Lease> = {}): Lease {
  return {
    subnet: parsePrefix(`10.244.${host}.0/24`),
    publicIp: parseIp(`192.168.0.${host}`),
    backendType: 'vxlan',
    backendData: jsonObject({ VNI: 1, VtepMAC: `02:00:00:00:00:0${host}` }),
    ...more,
  };
}

const config = {
  mode: 'separate' as const,
  families: [
    {
      family: 4 as const,
      network: parsePrefix('10.244.0.0/16'),
      subnet: parsePrefix('10.244.1.0/24'),
      publicIp: parseIp('192.168.0.1'),
    },
  ],
  ownKey: new Uint8Array(32).fill(1),
  ports: { 4: 51_820, 6: 51_821 } as const,
};

const leases = new Map<string, Lease>([
  ['flannel', lease(2)],
  ['moving', lease(3, { moveData: moveDataOf(keyOf(3), 51_900, 51_901) })],
  ['moved', lease(4, { backendType: 'wireguard', backendData: jsonObject({ PublicKey: keyOf(4), Port: 51_820 }) })],
  ['spoiled', lease(5, { moveData: moveDataOf('AAAA', 51_820, 51_821) })],
]);

describe('a node that moves', () => {
  const wireguard = wireguardPeers({ leases: onlyMoved(leases), problems: [] }, config);
  const former = {
    peers: new Map([...notYetMoved(leases).keys()].map((key) => [key, { key }])),
    problems: [],
    doubts: [],
  };

  test('reaches those without a key as before, those with one by both ways, and those that have moved by WireGuard', () => {
    const { peers } = joinPeers(former, wireguard, () => false);
    const ways = [...peers.values()].map(({ key, former: before, wireguard: next, isEncrypted }) => {
      return [key, before !== undefined, next !== undefined, isEncrypted];
    });
    expect(ways).toEqual([
      ['flannel', true, false, false],
      ['moving', true, true, false],
      ['spoiled', true, false, false],
      ['moved', false, true, true],
    ]);
    expect(peers.get('moving')?.wireguard?.endpoint.port).toBe(51_900);
  });

  test('takes the new way once a handshake has shown that it works', () => {
    const { peers } = joinPeers(former, wireguard, ({ key }) => key === 'moving');
    expect([...peers.values()].filter(({ isEncrypted }) => isEncrypted).map(({ key }) => key)).toEqual([
      'moving',
      'moved',
    ]);
  });

  test('doubts a key that cannot be used, and a problem of a node with no other way stays one', () => {
    const plan = joinPeers(former, wireguard, () => true);
    expect(plan.problems).toEqual([]);
    expect(plan.doubts).toEqual([{ key: 'spoiled', reason: expect.stringContaining('has no valid WireGuard key') }]);
    const wrong = { ...wireguard, problems: [{ key: 'moved', reason: 'x' }], peers: [] };
    expect(joinPeers(former, wrong, () => true).problems).toEqual([{ key: 'moved', reason: 'x' }]);
  });
});

describe('a node that has moved', () => {
  test('takes nodes that are moving as peers, and no others', () => {
    const { peers, problems } = wireguardPeers({ leases, problems: [] }, config);
    expect(peers.map(({ key }) => key).sort()).toEqual(['moved', 'moving']);
    expect(problems.map(({ key }) => key)).toEqual(['flannel', 'spoiled']);
  });

  test.for<[string, JsonValue]>([
    ['a list', []],
    ['another type', jsonObject({ Type: 'ipip', PublicKey: keyOf(3), Port: 1 })],
    ['text', 'wireguard'],
  ])('does not take %s for a move', ([, moveData]) => {
    const odd = new Map([['odd', lease(3, { moveData })]]);
    expect(movedLeases(odd)).toBe(odd);
    expect(onlyMoved(odd).size).toBe(0);
  });
});

test('the routes of a move are the halves of a subnet', () => {
  const halves = (text: string): string[] => halvesOf(parsePrefix(text)).map(formatPrefix);
  expect(halves('10.244.3.0/24')).toEqual(['10.244.3.0/25', '10.244.3.128/25']);
  expect(halves('fd00:244::/64')).toEqual(['fd00:244::/65', 'fd00:244:0:0:8000::/65']);
  expect(halves('10.244.3.7/32')).toEqual(['10.244.3.7/32']);
});
