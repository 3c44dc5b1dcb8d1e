// Freeing addresses whose holders are provably dead, when a range is exhausted. Dead means: the runtime's
// cached result names a netns that is no namespace any more, the file is of an earlier boot, or it names
// nobody; and nothing on the bridge carries the address. Anything less is kept.

import { OpError } from '../../lib/errors.ts';
import { formatIp } from '../../lib/ip.ts';
import { field, isJsonObject, parseJson } from '../../lib/json.ts';
import type { Holding } from '../../lib/pods/address-store.ts';
import { earlierBootTest } from '../../lib/pods/boot.ts';
import { liveAddressTest } from '../../lib/pods/bridge-neighbours.ts';
import { ENOENT, ENOTDIR } from '../../lib/sys/errno.ts';
import { closeFd, readTextIfPresent } from '../../lib/sys/file.ts';
import { NotNetnsError, openNetns } from '../../lib/sys/netns.ts';
import { SysError } from '../../lib/sys/sys-error.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { Invocation } from '../protocol/plugin.ts';
import type { Reclaim } from './allocate.ts';
import { rangeOf } from './ranges.ts';

/** Where libcni keeps what it got from each ADD. */
export const RESULT_CACHE = '/var/lib/cni/results';
const CACHE_LIMIT_BYTES = 4 * 1024 * 1024;

function ownerParts(holding: Holding): { readonly containerId: string; readonly ifname: string } {
  const [containerId = '', ifname = ''] = holding.owner.split('\r\n');
  return { containerId, ifname };
}

/** The netns the runtime gave the attachment, as its cache has it. */
function cachedNetns(invocation: Invocation, cache: string, holding: Holding): string | undefined {
  const { containerId, ifname } = ownerParts(holding);
  const path = `${cache}/${invocation.name}-${containerId}-${ifname}`;
  try {
    const value = parseJson(readTextIfPresent(invocation.sys, path, CACHE_LIMIT_BYTES) ?? 'null');
    const netns = isJsonObject(value) ? field(value, 'netns') : undefined;
    return typeof netns === 'string' && netns !== '' ? netns : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a path is certainly no namespace. */
function isNoNetns(sys: Syscalls, path: string): boolean {
  try {
    closeFd(sys, openNetns(sys, path));
    return false;
  } catch (thrown) {
    if (thrown instanceof NotNetnsError) return true;
    return thrown instanceof SysError && (thrown.errno === ENOENT || thrown.errno === ENOTDIR);
  }
}

/** Frees what the dead hold of a set. `bridge` is looked at for signs of life, `cache` is the runtime's. */
export function reclaimDead(invocation: Invocation, bridge: string, cache: string): Reclaim {
  return (store, set) => {
    const isOld = earlierBootTest(store);
    const suspects = store.holdings().filter((holding) => {
      if (rangeOf(set, holding.ip) === undefined) return false;
      // Whoever took it was killed before saying so: the lock is ours, so nobody is about to.
      if (holding.owner === '' || isOld(formatIp(holding.ip))) return true;
      const netns = cachedNetns(invocation, cache, holding);
      return netns !== undefined && isNoNetns(invocation.sys, netns);
    });
    if (suspects.length === 0) return false;
    const isLive = liveTest(invocation, bridge);
    const dead = suspects.filter((holding) => !isLive(holding));
    for (const holding of dead) {
      const { containerId, ifname } = ownerParts(holding);
      store.releaseAddresses({ containerId, ifname }, [holding.ip]);
      invocation.note(`freed ${formatIp(holding.ip)}: its holder ${containerId} ${ifname} is gone`);
    }
    return dead.length > 0;
  };
}

/** When the bridge cannot be looked at, everything may be alive. */
function liveTest(invocation: Invocation, bridge: string): (holding: Holding) => boolean {
  try {
    const isLive = liveAddressTest(invocation.sys, bridge);
    return (holding) => isLive(holding.ip);
  } catch (thrown) {
    if (!(thrown instanceof OpError)) throw thrown;
    return () => true;
  }
}
