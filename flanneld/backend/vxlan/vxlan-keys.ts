// The keys of the vxlan backend in net-conf.json, with flannel's names and defaults.

import { type JsonPlace, readBoolean, readInteger, readText } from '../../../lib/json-fields.ts';
import type { KeyDoc } from '../../../lib/key-doc.ts';
import { moveToDoc, readMoveTo } from '../moving/move-to.ts';
import { portKey, readPort } from '../port-key.ts';
import { readUnderlayMtu } from '../tunnel-mtu.ts';
import type { WireguardConf } from '../wireguard/wireguard-conf.ts';
import { vxlanOverheadBytes } from './vxlan-device.ts';

export interface VxlanConf {
  /** 1–16777215. */
  readonly vni: number;
  /** UDP destination port, 1–65535. */
  readonly port: number;
  /** MTU of the underlay in bytes when configured; the device gets 50 (IPv6 underlay: 70) less. */
  readonly mtu: number | undefined;
  readonly learning: boolean;
  readonly gbp: boolean;
  /** Whether peers on the external interface's own link are reached without the tunnel. */
  readonly directRouting: boolean;
  readonly fastPath: 'off' | 'redirect' | 'full';
  /** The backend to which the cluster moves. */
  readonly moveTo: WireguardConf | undefined;
}

/** The port that Linux used for VXLAN before IANA assigned 4789; flannel still uses it. */
const PORT = 8472;
const LAST_VNI = 0xffffff;

export const vxlanKeys = {
  VNI: {
    type: 'integer',
    range: [1, LAST_VNI],
    default: 1,
    help: 'VXLAN network identifier; the device is flannel.VNI',
  },
  Port: portKey(PORT),
  MTU: {
    type: 'integer',
    help: 'of the underlay, 118–65535 (with EnableIPv6 from 1350); absent or 0: that of the external interface. Pods get 50 less, over IPv6 70',
  },
  GBP: { type: 'boolean', default: false, help: 'carry group policy marks (draft-smith-vxlan-group-policy)' },
  Learning: { type: 'boolean', default: false, help: 'let the device learn MACs from traffic' },
  DirectRouting: {
    type: 'boolean',
    default: false,
    help: "reach peers on the external interface's own link without the tunnel",
  },
  FastPath: {
    type: 'string',
    default: 'off',
    help: "off, redirect: redirect pods' packets past bridge, routing and netfilter with eBPF programs, or full: the programs also encapsulate and decapsulate IPv4 packets; a node's --fast-path overrides it",
  },
  MoveTo: moveToDoc,
  MacPrefix: { type: 'string', help: 'ignored: of Windows nodes' },
  Name: { type: 'string', help: 'ignored: of Windows nodes' },
} as const satisfies Readonly<Record<string, KeyDoc>>;

/** Throws ConfigError. */
export function readVxlanKeys(place: JsonPlace, { enableIpv6 }: { readonly enableIpv6: boolean }): VxlanConf {
  const family = enableIpv6 ? 6 : 4;
  return {
    vni: readInteger(place, 'VNI', 1, LAST_VNI) ?? 1,
    port: readPort(place, PORT),
    mtu: readUnderlayMtu(place, family, vxlanOverheadBytes(family)),
    learning: readBoolean(place, 'Learning') ?? false,
    gbp: readBoolean(place, 'GBP') ?? false,
    directRouting: readBoolean(place, 'DirectRouting') ?? false,
    fastPath: readText(place, 'FastPath', '"off", "redirect" or "full"', fastPathMode) ?? 'off',
    moveTo: readMoveTo(place, { enableIpv6 }),
  };
}

function fastPathMode(word: string): VxlanConf['fastPath'] | undefined {
  return word === 'off' || word === 'redirect' || word === 'full' ? word : undefined;
}
