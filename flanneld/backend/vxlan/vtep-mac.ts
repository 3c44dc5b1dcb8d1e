// Chooses the MAC of this node's VTEP. Peers know it from our lease, so it must stay the same over restarts and reboots.

import type { Family } from '../../../lib/ip.ts';
import { type Ip, sameIp } from '../../../lib/ip.ts';
import { isUnicastMac, type Mac, macFromRandom } from '../../../lib/mac.ts';
import type { Lease } from '../../subnet/manager.ts';
import { byCreation, type Claimant } from '../../subnet/precedence.ts';
import { readBackendData } from './vxlan-lease.ts';

/** What the choice depends on. */
export interface MacSources {
  readonly family: Family;
  readonly leases: ReadonlyMap<string, Lease>;
  /** The key of this node's own saved lease, if the store knows it. */
  readonly ownKey: string | undefined;
  /** The address this node advertises. Without a key, the saved lease with this address is this node's own. */
  readonly publicIp: Ip;
  /** The MAC of the existing device, if there is one. */
  readonly existing: Mac | undefined;
  /** Six random bytes. */
  random(): Uint8Array;
}

/**
 * Returns the saved lease's MAC, else the existing device's, else a random local one. A MAC that an older lease advertises is
 * not used (this machine is a clone of that node): frames for us would go there. A younger lease with our MAC does not
 * matter, because peers use the MAC of the oldest.
 */
export function chooseVtepMac(sources: MacSources): Mac {
  const { saved, others } = advertised(sources);
  for (const candidate of [saved, sources.existing]) {
    if (candidate !== undefined && isUnicastMac(candidate) && !others.has(candidate)) return candidate;
  }
  for (;;) {
    const mac = macFromRandom(sources.random());
    if (!others.has(mac)) return mac;
  }
}

function advertised(sources: MacSources): { saved: Mac | undefined; others: Set<Mac> } {
  const { family, leases } = sources;
  const own = findOwn(sources);
  let saved: Mac | undefined;
  const others = new Set<Mac>();
  for (const [key, lease] of leases) {
    const mac = macOf(family === 4 ? lease.backendData : lease.backendV6Data, lease.backendType);
    if (mac === undefined) continue;
    if (key === own?.key) saved = mac;
    else if (own === undefined || byCreation({ key, created: lease.created }, own) < 0) others.add(mac);
  }
  return { saved, others };
}

/** This node's saved lease; undefined when there is none. */
function findOwn({ family, leases, ownKey, publicIp }: MacSources): Claimant | undefined {
  const own: Claimant[] = [];
  for (const [key, lease] of leases) {
    const ip = family === 4 ? lease.publicIp : lease.publicIpv6;
    const isOwn = ownKey === undefined ? ip !== undefined && sameIp(ip, publicIp) : key === ownKey;
    if (isOwn) own.push({ key, created: lease.created });
  }
  return own.sort(byCreation)[0];
}

function macOf(data: Lease['backendData'], backendType: string): Mac | undefined {
  if (backendType !== 'vxlan') return undefined;
  try {
    return readBackendData(data).mac;
  } catch {
    return undefined; // another node's unreadable lease is reported where peers are read
  }
}
