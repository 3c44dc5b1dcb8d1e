import { describe, expect, test } from 'vitest';
import type { PresentWireguardPeer } from '../../../lib/genetlink/wireguard.ts';
import { parseIp, parsePrefix } from '../../../lib/ip.ts';
import { healthyView } from '../../../test/support/doctor-view.ts';
import type { Draft } from '../draft.ts';
import { told } from '../tries/handshakes.ts';
import type { View } from '../view/view.ts';
import type { WireguardFacts } from '../view/wireguard-facts.ts';
import { checkWireguard } from './wireguard-findings.ts';

const key = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const subnet = parsePrefix('10.244.2.0/24');
const NOW_SEC = Date.parse('2026-01-01T00:01:00Z') / 1000;
const wanted = {
  key: 'node-2',
  publicKey: key(2),
  endpoint: { ip: parseIp('192.168.50.12'), port: 51_820 },
  allowedIps: [subnet],
};
const peer = (more: Partial<PresentWireguardPeer> = {}): PresentWireguardPeer => ({
  ...{ publicKey: key(2), presharedKey: key(0), endpoint: wanted.endpoint, keepaliveSec: 0, allowedIps: [subnet] },
  ...{ handshakeSec: NOW_SEC - 20, rxBytes: 148, txBytes: 148 },
  ...more,
});

function view(peers: readonly PresentWireguardPeer[], more: Partial<WireguardFacts> = {}): View {
  const present = { listenPort: 51_820, publicKey: key(1), peers };
  return healthyView({
    wireguard: [{ device: 'flannel-wg', present, wanted: [wanted], leasedKey: key(1), ...more }],
  });
}

describe('of a WireGuard device', () => {
  test.for<{ name: string; view: View; want: readonly string[] }>([
    { name: 'nothing of a healthy one', view: view([peer()]), want: [] },
    { name: 'nothing where no lease is known', view: view([], { wanted: [], leasedKey: undefined }), want: [] },
    {
      name: 'another key than the lease',
      view: view([peer()], { leasedKey: key(9) }),
      want: ['wireguard-key-mismatch'],
    },
    { name: 'a peer that is missing', view: view([]), want: ['peer-entry-missing'] },
    { name: 'a peer with another key', view: view([peer({ publicKey: key(3) })]), want: ['peer-entry-missing'] },
    { name: 'a peer without its subnet', view: view([peer({ allowedIps: [] })]), want: ['peer-entry-missing'] },
    {
      name: 'a peer that sends from elsewhere',
      view: view([peer({ endpoint: { ip: parseIp('192.168.50.12'), port: 40_000 } })]),
      want: ['wireguard-endpoint-moved'],
    },
    {
      name: 'nothing of an endpoint without a session, which the agent sets again',
      view: view([peer({ endpoint: { ip: parseIp('192.168.50.12'), port: 40_000 }, handshakeSec: 0 })]),
      want: [],
    },
  ])('finds $name', ({ view: given, want }) => {
    expect(checkWireguard(given).map(({ id }) => id)).toEqual(want);
  });

  test('prints the command that puts a peer back', () => {
    const [finding] = checkWireguard(view([]));
    const text = Buffer.from(key(2)).toString('base64');
    expect(finding?.fix).toContain(
      `\`wg set flannel-wg peer ${text} endpoint 192.168.50.12:51820 allowed-ips 10.244.2.0/24\``,
    );
  });
});

describe('of a handshake that is not completed', () => {
  const draft: Draft = {
    id: 'wireguard-no-handshake',
    peer: 'node-2',
    cause: 'no handshake',
    evidence: 'silent',
    fix: 'open it',
  };

  test('the evidence has the handshake’s age and the device’s counters', () => {
    const { cause, evidence } = told(draft, peer({ handshakeSec: NOW_SEC - 200 }), healthyView());
    expect([cause, evidence]).toEqual([
      'no handshake',
      'silent; wg show: latest handshake 200 s ago, 148 bytes received, 148 sent',
    ]);
  });

  test('packets with the right key and without a handshake show a different preshared key', () => {
    expect(told(draft, peer({ handshakeSec: 0 }), healthyView()).cause).toContain('their preshared keys differ');
    expect(told(draft, peer({ handshakeSec: 0, rxBytes: 0 }), healthyView()).cause).toBe('no handshake');
  });
});
