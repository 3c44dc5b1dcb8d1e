import { describe, expect, test } from 'vitest';
import type { PresentWireguardPeer, WireguardDevice } from '../../../lib/genetlink/wireguard.ts';
import { parseIp, parsePrefix } from '../../../lib/ip.ts';
import { payloadHex } from '../../../test/support/netlink-bytes.ts';
import type { Place } from '../../dataplane/objects/kind.ts';
import type { WireguardControl } from './wireguard-control.ts';
import { type WantedWireguardPeer, wireguardPeerKind } from './wireguard-peer.ts';

const NOW = 1_000_000;
const device = { index: 7, name: 'flannel-wg' };
const place: Place = {
  family: 4,
  network: parsePrefix('10.244.0.0/16'),
  tunnel: device,
  underlay: { index: 2, name: 'eth0' },
};

const want: WantedWireguardPeer = {
  publicKey: new Uint8Array(32).fill(2),
  presharedKey: new Uint8Array(32),
  endpoint: { ip: parseIp('192.168.50.2'), port: 51820 },
  keepaliveSec: 0,
  allowedIps: [parsePrefix('10.244.2.0/24'), parsePrefix('fd00:244:0:2::/64')],
};
const elsewhere = { ip: parseIp('203.0.113.9'), port: 40_000 };

function have(more: Partial<PresentWireguardPeer> = {}): PresentWireguardPeer {
  return { ...want, handshakeSec: NOW - 10, rxBytes: 1, txBytes: 1, ...more };
}

/** A peer at another endpoint, without a session: its endpoint is set. */
const gone = (): PresentWireguardPeer => have({ endpoint: elsewhere, handshakeSec: 0 });

/** Takes the place of the generic netlink socket, which these requests do not use until they are written. */
const control = {
  ref: () => ({ family: 32, ...device }),
  read: (): WireguardDevice => ({ listenPort: 51820, publicKey: undefined, peers: [] }),
} as unknown as WireguardControl;

const fresh = () => wireguardPeerKind(control, () => NOW);

describe('a peer is right', () => {
  test('when it is as it was set, whatever the order of its prefixes', () => {
    expect(fresh().isRight(have({ allowedIps: want.allowedIps.toReversed() }), want, place)).toBe(true);
  });

  test('when it roams, as long as its session lives', () => {
    expect(fresh().isRight(have({ endpoint: elsewhere }), want, place)).toBe(true);
    expect(fresh().isRight(have({ endpoint: elsewhere, handshakeSec: NOW - 181 }), want, place)).toBe(false);
    expect(fresh().isRight(have({ endpoint: elsewhere, handshakeSec: 0 }), want, place)).toBe(false);
  });

  test.for<{ name: string; more: Partial<PresentWireguardPeer> }>([
    { name: 'a prefix is missing', more: { allowedIps: want.allowedIps.slice(1) } },
    { name: 'it has an additional prefix', more: { allowedIps: [...want.allowedIps, parsePrefix('10.244.3.0/24')] } },
    {
      name: 'it has another prefix',
      more: { allowedIps: [parsePrefix('10.244.2.0/25'), parsePrefix('fd00:244:0:2::/64')] },
    },
    { name: 'the preshared key is another', more: { presharedKey: new Uint8Array(32).fill(1) } },
    { name: 'the keepalive is another', more: { keepaliveSec: 25 } },
    { name: 'it has no endpoint and no session', more: { endpoint: undefined, handshakeSec: 0 } },
  ])('but not when $name', ({ more }) => {
    expect(fresh().isRight(have(more), want, place)).toBe(false);
  });

  test('but not at its former endpoint after its lease has named another one', () => {
    const kind = fresh();
    kind.put(want, undefined, place);
    const moved = { ...want, endpoint: elsewhere };
    expect(kind.isRight(have(), moved, place)).toBe(false);
    kind.put(moved, have(), place);
    expect(kind.isRight(have({ endpoint: elsewhere }), moved, place)).toBe(true);
    // The peer roams back: its packets come from its former address again.
    expect(kind.isRight(have(), moved, place)).toBe(true);
  });
});

describe('a change', () => {
  test('leaves the endpoint of a roaming peer alone', () => {
    const roaming = have({ endpoint: elsewhere, allowedIps: [] });
    const text = fresh().put(want, roaming, place).command?.() ?? '';
    expect(text).toContain('allowed-ips 10.244.2.0/24,fd00:244:0:2::/64');
    const bytes = (given: PresentWireguardPeer | undefined): number => written(fresh().put(want, given, place));
    expect(bytes(have({ endpoint: want.endpoint })) - bytes(roaming)).toBe(0);
    expect(bytes(gone()) - bytes(roaming)).toBe(20);
  });

  test('greets a new peer, and no present one', () => {
    const kind = fresh();
    const greeting = 48;
    expect(written(kind.put(want, undefined, place)) - written(kind.put(want, gone(), place))).toBe(greeting);
  });

  test('greets at most 100 of many new peers in a second, and others in the next', () => {
    let now = NOW;
    const kind = wireguardPeerKind(control, () => now);
    const sizes = (count: number): number[] =>
      Array.from({ length: count }, () => written(kind.put(want, undefined, place)));
    const [first = 0] = sizes(1);
    expect(sizes(199).filter((size) => size === first)).toHaveLength(99);
    now += 1;
    expect(sizes(1)).toEqual([first]);
  });

  test('is printed as a command of wg(8), without the preshared key', () => {
    const secret = { ...want, presharedKey: new Uint8Array(32).fill(5), keepaliveSec: 25 };
    const text = fresh().put(secret, undefined, place).command?.() ?? '';
    expect(text).toBe(
      `wg set flannel-wg peer ${Buffer.alloc(32, 2).toString('base64')} endpoint 192.168.50.2:51820 allowed-ips 10.244.2.0/24,fd00:244:0:2::/64 persistent-keepalive 25`,
    );
    expect(text).not.toContain(Buffer.alloc(32, 5).toString('base64'));
  });
});

/** How many bytes a request writes. */
function written(request: ReturnType<ReturnType<typeof fresh>['put']>): number {
  return payloadHex(request).length / 2;
}
