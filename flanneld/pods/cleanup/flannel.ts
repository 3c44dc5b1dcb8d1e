// Whether flannel runs on this node: where it has come back, devices, chains, the conflist and the records of pods are
// its own, under the same names, and a clean-up that took them would take the network from pods.

import type { Netlink } from '../../../lib/netlink/connection.ts';
import { RTPROT_BOOT } from '../../../lib/rtnetlink/constants.ts';
import { listLinks } from '../../../lib/rtnetlink/link.ts';
import { listRoutes, spellRoute } from '../../../lib/rtnetlink/route.ts';
import { listDir, statPath } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { vxlanDeviceName } from '../../backend/vxlan/vxlan-device.ts';
import { FLANNEL_TABLES } from '../../firewall/nft-table.ts';
import { type CleanupScope, type CleanupTools, fileLeftover, type Leftover } from './leftover.ts';

/**
 * What only flannel can have made since Weft's agent was here: routes to peers of no protocol of Weft's, or its tables.
 * Undefined where there is no such thing, also on a flannel's node that has no peer and rules in iptables.
 */
export async function signOfFlannel({ netlink, nft }: CleanupTools): Promise<string | undefined> {
  const route = flannelRoute(netlink);
  if (route !== undefined) return `route ${route}`;
  for (const [family, table] of Object.entries(FLANNEL_TABLES)) {
    // That tables cannot be listed is told with those of ours.
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

/** Devices with a name of flannel's for their VNI. */
export function overlayDevices(netlink: Netlink): { readonly index: number; readonly name: string }[] {
  return listLinks(netlink, { kind: 'vxlan' }).filter(
    ({ name, vxlan }) =>
      vxlan !== undefined && ([4, 6] as const).some((one) => vxlanDeviceName(one, vxlan.vni) === name),
  );
}

/** What flannel goes on with stays; what is only of use to Weft goes, out of folders that stay, too. */
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

/** A file of our host-local beside the addresses of each network. */
function bootStamps({ cniStateDir }: CleanupScope, sys: Syscalls): Leftover[] {
  return (listDir(sys, `${cniStateDir}/networks`) ?? [])
    .map((network) => `${cniStateDir}/networks/${network}/.boot`)
    .filter((path) => statPath(sys, path) !== undefined)
    .map((path) => fileLeftover(sys, path));
}
