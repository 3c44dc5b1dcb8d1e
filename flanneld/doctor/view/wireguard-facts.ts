// WireGuard devices of this node: the peers that they have and the peers that the leases want. The kernel lists them by generic netlink.

import type { WireguardDevice } from '../../../lib/genetlink/wireguard.ts';
import type { Ip } from '../../../lib/ip.ts';
import { field, isJsonObject } from '../../../lib/json.ts';
import type { NetConf } from '../../../lib/net-conf.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { familyOf, type NodeConfig } from '../../backend/lease-fields.ts';
import { readWireguardKeys, WIREGUARD_TYPE } from '../../backend/wireguard/wireguard-conf.ts';
import { WireguardControl } from '../../backend/wireguard/wireguard-control.ts';
import { parseKey } from '../../backend/wireguard/wireguard-key.ts';
import { type WireguardPlannedPeer, wireguardPeers } from '../../backend/wireguard/wireguard-peers.ts';
import type { Lease, LeaseSnapshot } from '../../subnet/manager.ts';
import type { FamilyFacts } from './facts.ts';
import type { Reads } from './reads.ts';

export interface WireguardFacts {
  readonly device: string;
  /** What the kernel has. */
  readonly present: WireguardDevice;
  /** The peers that the leases want. */
  readonly wanted: readonly WireguardPlannedPeer[];
  /** The key that this node's lease announces; undefined when it is not known. */
  readonly leasedKey: Uint8Array | undefined;
}

interface Sources {
  readonly sys: Syscalls;
  readonly conf: NetConf | undefined;
  readonly snapshot: LeaseSnapshot | undefined;
  readonly families: readonly FamilyFacts[];
  readonly own: Lease | undefined;
}

/** One entry for each device. A device carries one family or both. */
export function wireguardFacts(sources: Sources, reads: Reads): WireguardFacts[] {
  const ofKind = sources.families.filter(({ tunnel }) => tunnel?.type === WIREGUARD_TYPE && tunnel.link !== undefined);
  const names = [...new Set(ofKind.map(({ tunnel }) => tunnel?.device ?? ''))];
  return names.flatMap((device) => {
    const families = ofKind.filter(({ tunnel }) => tunnel?.device === device);
    const facts = reads.one(`the WireGuard device ${device}`, () => factsOf(device, families, sources));
    return facts ?? [];
  });
}

function factsOf(device: string, families: readonly FamilyFacts[], sources: Sources): WireguardFacts[] {
  const { conf, snapshot, own, sys } = sources;
  const present = readDevice(sys, device, families);
  const configs = families.flatMap(configOf);
  const leasedKey = own && keyIn(own, families[0]?.family ?? 4);
  if (present === undefined) return [];
  if (conf?.backend.type !== WIREGUARD_TYPE || snapshot === undefined)
    return [{ device, present, wanted: [], leasedKey }];
  const { mode, listenPort, listenPortV6 } = readWireguardKeys(conf.backend.place, conf);
  const ports = { 4: listenPort, 6: mode === 'separate' ? listenPortV6 : listenPort };
  const ownKey = present.publicKey ?? new Uint8Array(32);
  const { peers } = wireguardPeers(snapshot, { mode, families: configs, ownKey, ports });
  return [{ device, present, wanted: peers, leasedKey }];
}

export function readDevice(sys: Syscalls, name: string, families: readonly FamilyFacts[]): WireguardDevice | undefined {
  const link = families.find(({ tunnel }) => tunnel?.device === name)?.tunnel?.link;
  if (link === undefined || link.kind !== WIREGUARD_TYPE) return undefined;
  const control = new WireguardControl(sys);
  try {
    return control.read({ index: link.index, name });
  } finally {
    control.close();
  }
}

function configOf({ family, network, subnet, publicIp }: FamilyFacts): NodeConfig[] {
  return subnet === undefined || publicIp === undefined ? [] : [{ family, network, subnet, publicIp }];
}

function keyIn(lease: Lease, family: Ip['family']): Uint8Array | undefined {
  const { backendData: data } = familyOf(lease, family);
  const text = data !== undefined && isJsonObject(data) ? field(data, 'PublicKey') : undefined;
  return typeof text === 'string' ? parseKey(text) : undefined;
}
