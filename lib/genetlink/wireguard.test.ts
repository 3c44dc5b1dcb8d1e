import { describe, expect, test } from 'vitest';
import { payloadHex } from '../../test/support/netlink-bytes.ts';
import { parseIp, parsePrefix } from '../ip.ts';
import { openFakeNetlink } from '../netlink/fake.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { writeGenlmsghdr } from './genetlink.ts';
import {
  getWireguardDevice,
  removeWireguardPeer,
  setWireguardDevice,
  setWireguardPeer,
  type WireguardPeer,
} from './wireguard.ts';

const ref = { family: 32, index: 7, name: 'flannel-wg' };
const key = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const hex = (fill: string): string => fill.repeat(32);

const peer: WireguardPeer = {
  publicKey: key(2),
  presharedKey: key(0),
  endpoint: { ip: parseIp('192.168.50.2'), port: 51820 },
  keepaliveSec: 25,
  allowedIps: [parsePrefix('10.5.17.0/24')],
};

describe('requests', () => {
  test('set key and port of a device', () => {
    const request = setWireguardDevice(ref, { privateKey: key(9), listenPort: 51820 });
    expect(payloadHex(request)).toBe(
      `01010000 08000100 07000000 24000300 ${hex('09')} 06000600 6cca0000`.replaceAll(' ', ''),
    );
    expect(request.command?.()).toBe('wg set flannel-wg listen-port 51820 private-key FILE');
  });

  test('set a peer, with nested attributes marked as nested', () => {
    const prefix = '1c000080 06000100 02000000 08000200 0a051100 05000300 18000000';
    const fields = `24000100 ${hex('02')} 08000300 02000000 24000200 ${hex('00')} 14000400 0200ca6c c0a83202 ${'00'.repeat(8)} 06000500 19000000 20000980 ${prefix}`;
    const bytes = fields.replaceAll(' ', '').length / 2 + 4;
    const nest = (length: number, type: string): string => `${length.toString(16).padStart(2, '0')}00${type}`;
    const want = `01010000 08000100 07000000 ${nest(bytes + 4, '0880')} ${nest(bytes, '0080')} ${fields}`;
    const request = setWireguardPeer(ref, peer, 'peer KEY');
    expect(payloadHex(request)).toBe(want.replaceAll(' ', ''));
    expect(request.describe()).toBe('set wireguard flannel-wg peer KEY');
  });

  test('set and take back a keepalive interval, for a peer that is to be greeted and has none', () => {
    const text = (keepaliveSec: number, greets: boolean): string =>
      payloadHex(setWireguardPeer(ref, { ...peer, keepaliveSec }, 'peer KEY', greets));
    const again = `30000080 24000100 ${hex('02')} 06000500 00000000`.replaceAll(' ', '');
    const peers = (payload: string): string => payload.slice(32);
    expect(peers(text(0, true))).toBe(`${peers(text(1, false))}${again}`);
    expect(text(25, true)).toBe(text(25, false));
  });

  test('leave the endpoint of a peer unchanged', () => {
    const text = payloadHex(setWireguardPeer(ref, { ...peer, endpoint: undefined }, 'peer KEY'));
    expect(text).not.toContain('0200ca6cc0a83202');
  });

  test('remove a peer', () => {
    const text = payloadHex(removeWireguardPeer(ref, key(2), 'peer KEY'));
    expect(text).toBe(
      `01010000080001000700000034000880 30000080 24000100 ${hex('02')} 08000300 01000000`.replaceAll(' ', ''),
    );
  });
});

describe('getWireguardDevice', () => {
  /** Writes a device as the kernel does: a request that sets the peer has the same attributes. */
  const part = (given: WireguardPeer, isFirst: boolean) => (writer: MessageWriter) => {
    setWireguardPeer(ref, given, '').write(writer);
    if (!isFirst) return;
    writer.attrU16(6, 51820);
    writer.attrBytes(4, key(1));
  };

  test('reads back what was set, and joins a peer that is split over two messages', () => {
    const { netlink } = openFakeNetlink((request, replies) => {
      expect([request.type, request.flags & 0x300]).toEqual([32, 0x300]);
      replies.message(32, part({ ...peer, endpoint: { ip: parseIp('fd50::2'), port: 51821 } }, true));
      replies.message(32, part({ ...peer, allowedIps: [parsePrefix('fd05::/64')] }, false));
    });
    const device = getWireguardDevice(netlink, ref);
    expect(device).toMatchObject({ listenPort: 51820, publicKey: key(1) });
    expect(device.peers).toHaveLength(1);
    expect(device.peers[0]).toMatchObject({
      endpoint: { ip: parseIp('fd50::2'), port: 51821 },
      keepaliveSec: 25,
      allowedIps: [parsePrefix('10.5.17.0/24'), parsePrefix('fd05::/64')],
    });
  });

  test('reads a device without key or peers', () => {
    const { netlink } = openFakeNetlink((_, replies) =>
      replies.message(32, (writer) => {
        writeGenlmsghdr(writer, 0, 1);
        writer.attrU16(6, 0);
      }),
    );
    expect(getWireguardDevice(netlink, ref)).toEqual({ listenPort: 0, publicKey: undefined, peers: [] });
  });
});
