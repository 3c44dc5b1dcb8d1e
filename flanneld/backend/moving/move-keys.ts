// This node's WireGuard key while it moves to wireguard. The file is the wireguard backend's, so that the key stays the same after the
// move.

import type { JsonValue } from '../../../lib/json.ts';
import type { BackendTools } from '../backend.ts';
import { type WireguardConf, wireguardTunnel } from '../wireguard/wireguard-conf.ts';
import { WireguardControl } from '../wireguard/wireguard-control.ts';
import { generateKeys, type KeyPair, keyFile, keyText, nodeKeys, writeKey } from '../wireguard/wireguard-key.ts';
import { moveDataOf } from './moved-lease.ts';

/** The keys; undefined, with a warning, on a kernel without WireGuard: vxlan then remains the only way to this node. */
export async function keysToMove(tools: BackendTools): Promise<KeyPair | undefined> {
  const control = new WireguardControl(tools.sys);
  try {
    control.ref({ index: 0, name: 'WireGuard' });
  } catch (error) {
    tools.log.warn({ err: error }, 'this node cannot move to wireguard, peers reach it by vxlan only');
    return undefined;
  } finally {
    control.close();
  }
  return await nodeKeys(keyFile(tools));
}

/** What the lease contains in addition to the data of vxlan. */
export function moveData(conf: WireguardConf, { publicKey }: KeyPair): JsonValue {
  return moveDataOf(keyText(publicKey), wireguardTunnel(conf, 4).port, wireguardTunnel(conf, 6).port);
}

/** Makes a new key, which the next lease contains. */
export async function newKey(tools: BackendTools): Promise<void> {
  await writeKey(keyFile(tools), generateKeys().privateKey);
}
