// Finds out whether flannel runs on this node. If it has been put back, it uses devices, chains, the conflist and the records of pods under
// the same names as Weft, and a clean-up that removed them would cut off pods.

import type { Netlink } from '../../../lib/netlink/connection.ts';
import { listLinks } from '../../../lib/rtnetlink/link.ts';
import { listRoutes, spellRoute } from '../../../lib/rtnetlink/route.ts';
import { RTPROT_BOOT } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { listDir, statPath } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { backendOfDevice } from '../../backend/registry.ts';
import { FLANNEL_TABLES } from '../../firewall/nft-table.ts';
import { type CleanupScope, type CleanupTools, fileLeftover, type Leftover } from './leftover.ts';

/**
 * Something that only flannel can have made since Weft's agent ended: its tables, or routes to peers without Weft's protocol number.
 * Undefined when there is nothing, which is also so for a flannel without peers and with its rules in iptables.
 */
export async function signOfFlannel({ netlink, nft }: CleanupTools): Promise<string | undefined> {
  const route = flannelRoute(netlink);
  if (route !== undefined) return `route ${route}`;
  for (const [family, table] of Object.entries(FLANNEL_TABLES)) {
    // If tables cannot be listed, the listing of our own tables reports it.
    const listed = await nft.list(family, table).catch(() => undefined);
    if (listed !== undefined) return `table ${family} ${table}`;
  }
  return undefined;
}

function flannelRoute(netlink: Netlink): string | undefined {
  for (const { index, name } of overlayDevices(netlink)) {
    for (const family of [4, 6] as const) {
      const [route] = listRoutes(netlink, { family, oif: index, protocol: RTPROT_BOOT });
      if (route !== undefined) return spellRoute(route, name);
    }
  }
  return undefined;
}

/** The devices of all backends. */
export function overlayDevices(netlink: Netlink): { readonly index: number; readonly name: string }[] {
  return listLinks(netlink).filter((link) => backendOfDevice(link) !== undefined);
}

/** Marks everything that flannel uses as kept. What only Weft uses is removed, even from folders that stay. */
export function leaveToFlannel(
  leftovers: readonly Leftover[],
  sign: string,
  scope: CleanupScope,
  sys: Syscalls,
): Leftover[] {
  const kept = `flannel runs here and has ${sign}`;
  const left = leftovers.map((leftover) => (leftover.isShared === true ? { kept, ...leftover } : leftover));
  return [...left, ...bootStamps(scope, sys)];
}

/** The file that our host-local keeps beside the addresses of each network. */
function bootStamps({ cniStateDir }: CleanupScope, sys: Syscalls): Leftover[] {
  return (listDir(sys, `${cniStateDir}/networks`) ?? [])
    .map((network) => `${cniStateDir}/networks/${network}/.boot`)
    .filter((path) => statPath(sys, path) !== undefined)
    .map((path) => fileLeftover(sys, path));
}
