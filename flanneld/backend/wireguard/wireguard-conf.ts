// The keys of the wireguard backend in net-conf.json, with flannel's names and defaults.

import { ConfigError } from '../../../lib/errors.ts';
import { WIREGUARD_KEY_BYTES } from '../../../lib/genetlink/wireguard.ts';
import type { Family } from '../../../lib/ip.ts';
import { joinPath } from '../../../lib/json.ts';
import { type JsonPlace, readField, readInteger, readString } from '../../../lib/json-fields.ts';
import type { KeyDoc } from '../../../lib/key-doc.ts';
import type { TunnelWay } from '../../dataplane/tunnel-way.ts';
import { readUnderlayMtu } from '../tunnel-mtu.ts';
import { WIREGUARD_DEVICES, WIREGUARD_OVERHEAD_BYTES } from './wireguard-device.ts';
import { parseKey } from './wireguard-key.ts';

/** The backend's `Type` in net-conf.json and in leases. */
export const WIREGUARD_TYPE = 'wireguard';

/**
 * `separate`: one device for each family. The others: one device for both families, whose peers are reached over the named family (`auto`:
 * chosen for each peer).
 */
export const MODES = ['separate', 'auto', 'ipv4', 'ipv6'] as const;
export type WireguardMode = (typeof MODES)[number];

export interface WireguardConf {
  readonly mode: WireguardMode;
  /** UDP port of the IPv4 device, or of the only device. */
  readonly listenPort: number;
  /** UDP port of the IPv6 device in mode `separate`. */
  readonly listenPortV6: number;
  /** MTU of the underlay in bytes when configured; the device gets 80 less. */
  readonly mtu: number | undefined;
  /** All zero when there is no preshared key. */
  readonly presharedKey: Uint8Array;
  readonly keepaliveSec: number;
}

const PORT = 51_820;
const PORT_V6 = 51_821;
const MAX_PORT = 65_535;

export const wireguardKeys = {
  Mode: {
    type: 'string',
    default: 'separate',
    help: 'separate: a device for each family; auto, ipv4, ipv6: one device for both, whose peers are reached over that family',
  },
  ListenPort: { type: 'integer', range: [1, MAX_PORT], default: PORT, help: 'UDP port of the IPv4 or only device' },
  ListenPortV6: {
    type: 'integer',
    range: [1, MAX_PORT],
    default: PORT_V6,
    help: 'UDP port of the IPv6 device in mode separate',
  },
  MTU: {
    type: 'integer',
    help: 'of the underlay, 148–65535 (with EnableIPv6 from 1360); absent or 0: that of the external interface. Pods get 80 less',
  },
  PSK: {
    type: 'string',
    help: 'a key of 32 bytes in base64 that all nodes share in addition to their own keys; none when absent',
  },
  PersistentKeepaliveInterval: {
    type: 'integer',
    range: [0, MAX_PORT],
    default: 0,
    help: 'seconds between packets that keep a NAT open; 0: none',
  },
} as const satisfies Readonly<Record<string, KeyDoc>>;

/** The tunnel of a family. IPv6 has a device of its own only in mode `separate`. */
export function wireguardTunnel(
  { mode, listenPort, listenPortV6 }: WireguardConf,
  family: Family,
): TunnelWay & { readonly port: number } {
  const isV6Device = mode === 'separate' && family === 6;
  return {
    type: WIREGUARD_TYPE,
    device: WIREGUARD_DEVICES[isV6Device ? 1 : 0],
    port: isV6Device ? listenPortV6 : listenPort,
    overheadBytes: WIREGUARD_OVERHEAD_BYTES,
    hasKeys: true,
  };
}

/** Throws ConfigError. */
export function readWireguardKeys(place: JsonPlace, { enableIpv6 }: { readonly enableIpv6: boolean }): WireguardConf {
  return {
    mode: readMode(place),
    listenPort: readInteger(place, 'ListenPort', 1, MAX_PORT) ?? PORT,
    listenPortV6: readInteger(place, 'ListenPortV6', 1, MAX_PORT) ?? PORT_V6,
    mtu: readUnderlayMtu(place, enableIpv6 ? 6 : 4, WIREGUARD_OVERHEAD_BYTES),
    presharedKey: readPresharedKey(place),
    keepaliveSec: readInteger(place, 'PersistentKeepaliveInterval', 0, MAX_PORT) ?? 0,
  };
}

function readMode(place: JsonPlace): WireguardMode {
  const mode = readField(place, 'Mode', `one of ${MODES.join(', ')}`, (value) => MODES.find((one) => one === value));
  return mode ?? 'separate';
}

/** The error must not show the key. */
function readPresharedKey(place: JsonPlace): Uint8Array {
  const text = readString(place, 'PSK');
  if (text === undefined || text === '') return new Uint8Array(WIREGUARD_KEY_BYTES);
  const key = parseKey(text);
  if (key !== undefined) return key;
  throw new ConfigError(
    place.source,
    joinPath(place.path, 'PSK'),
    `expected ${WIREGUARD_KEY_BYTES} bytes in base64 (44 characters), got ${text.length} characters`,
  );
}
