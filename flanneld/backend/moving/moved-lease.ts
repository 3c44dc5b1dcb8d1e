// The lease of a node whose cluster moves from vxlan to wireguard (`Backend.MoveTo`). Its type stays vxlan, so that nodes that cannot use
// WireGuard still reach the node, and its WireGuard key is in `moveData`.

import { field, isJsonObject, type JsonValue, jsonObject } from '../../../lib/json.ts';
import type { Lease, LeaseAttributes, LeaseSnapshot } from '../../subnet/manager.ts';

const FROM = 'vxlan';
const TO = 'wireguard';

/** The lease's `moveData`. Without a port for a family, the node has no pods of that family. */
export function moveDataOf(publicKey: string, port: number, portV6: number): JsonValue {
  return jsonObject({ Type: TO, PublicKey: publicKey, Port: port, PortV6: portV6 });
}

/**
 * The lease as it will be when its node has moved; undefined when the node is not moving. A stranger may have written it, so it is checked
 * like any lease of wireguard.
 */
export function asMoved(lease: Lease): Lease | undefined {
  if (lease.backendType === TO) return lease;
  const { moveData, ...rest } = lease;
  if (lease.backendType !== FROM || moveData === undefined || !isJsonObject(moveData)) return undefined;
  if (field(moveData, 'Type') !== TO) return undefined;
  const data = (port: string): JsonValue =>
    jsonObject({ PublicKey: field(moveData, 'PublicKey'), Port: field(moveData, port) });
  return { ...rest, backendType: TO, backendData: data('Port'), backendV6Data: data('PortV6') };
}

type Leases = LeaseSnapshot['leases'];

/** The leases as WireGuard uses them: those of moving nodes as they will be after the move, all others unchanged. */
export function movedLeases(leases: Leases): Leases {
  let changed: Map<string, Lease> | undefined;
  for (const [key, lease] of leases) {
    const moved = asMoved(lease);
    if (moved === undefined || moved === lease) continue;
    changed ??= new Map(leases);
    changed.set(key, moved);
  }
  return changed ?? leases;
}

/** Only the leases of nodes that are moving or have moved. */
export function onlyMoved(leases: Leases): Leases {
  return new Map(
    [...leases].flatMap(([key, lease]) => {
      const moved = asMoved(lease);
      return moved === undefined ? [] : [[key, moved] as const];
    }),
  );
}

/** The leases without those of nodes that have moved: vxlan does not reach these. */
export function notYetMoved(leases: Leases): Leases {
  const isMoved = ({ backendType }: LeaseAttributes): boolean => backendType === TO;
  return [...leases.values()].some(isMoved) ? new Map([...leases].filter(([, lease]) => !isMoved(lease))) : leases;
}
