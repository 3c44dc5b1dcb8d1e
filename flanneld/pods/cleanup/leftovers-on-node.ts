// Lists everything that Weft has made on a node, with how to remove it, for `flanneld cleanup`. The list is in the order of removal: first
// the conflist, so that no new pods start, then devices, routes and rules, then files.

import { dirname, join } from 'node:path';
import { errorText } from '../../../lib/errors.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { NetlinkError } from '../../../lib/netlink/request.ts';
import { PIN_FOLDER } from '../../../lib/pods/fast-path-pods.ts';
import { deleteLink, getLink, listLinks } from '../../../lib/rtnetlink/link.ts';
import { deleteNexthop, listNexthops } from '../../../lib/rtnetlink/nexthop.ts';
import { deleteRoute, listRoutes, spellRoute } from '../../../lib/rtnetlink/route.ts';
import { EINVAL, EOPNOTSUPP } from '../../../lib/sys/errno.ts';
import { listDir, statPath } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { MOVE_PROTOCOL } from '../../backend/moving/moved-route.ts';
import { BACKENDS } from '../../backend/registry.ts';
import { CONFLIST_NAME, ourConflists, withdrawnMark } from '../../cni/conflist.ts';
import { ourExecutables, removeExecutables } from '../../cni/install-executables.ts';
import { WEFT_PROTOCOL } from '../../dataplane/objects/kind.ts';
import { isReservedNexthopId } from '../../dataplane/objects/nexthop-ids.ts';
import { devicesWithFilters, removeFilter } from '../../fastpath/clsact-filters.ts';
import { removePins } from '../../fastpath/pins.ts';
import { planChanges } from '../../firewall/iptables-plan.ts';
import { isIdle, isOutOfReach } from '../../firewall/iptables-programs.ts';
import { parseIptablesSave } from '../../firewall/iptables-save.ts';
import { remainingChains } from '../../firewall/iptables-table.ts';
import { TABLE_FAMILIES, tableName } from '../../firewall/nft-table.ts';
import { socketPathFor } from '../../health/status/socket.ts';
import { filesOfLease } from '../../subnet/lease-dir.ts';
import { savedStateFile } from '../../subnet/saved-state.ts';
import { MOMENTARY_DEVICES } from '../refusal/inject.ts';
import { MOMENTARY_TABLES } from '../refusal/trace.ts';
import { leaveToFlannel, overlayDevices, signOfFlannel } from './flannel.ts';
import { type CleanupScope, type CleanupTools, fileLeftover, type Leftover, tableLeftover } from './leftover.ts';
import { podLeftovers } from './pod-leftovers.ts';

/** Lists the leftovers. A part that cannot be read is listed as such, and stays. */
export async function listLeftovers(scope: CleanupScope, tools: CleanupTools): Promise<Leftover[]> {
  const parts: readonly (() => Leftover[] | Promise<Leftover[]>)[] = [
    () => conflistLeftovers(scope, tools.sys),
    () => fastPathLeftovers(tools),
    () => deviceLeftovers(tools.netlink),
    () => nexthopLeftovers(tools.netlink),
    () => routeLeftovers(tools.netlink),
    () => tableLeftovers(tools),
    () => chainLeftovers(tools),
    () => podLeftovers(scope, tools),
    () => stateLeftovers(scope, tools.sys),
    () => executableLeftovers(scope.cniBinDir),
  ];
  const found: Leftover[] = [];
  for (const part of parts) {
    try {
      found.push(...(await part()));
    } catch (error) {
      const remove = (): never => {
        throw error instanceof Error ? error : new Error(errorText(error));
      };
      found.push({ text: 'what could not be read', remove });
    }
  }
  const sign = await signOfFlannel(tools);
  return sign === undefined ? found : leaveToFlannel(found, sign, scope, tools.sys);
}

/** Our conflists. One that was set aside is used neither by a runtime nor by flannel. */
function conflistLeftovers({ cniConfDir }: CleanupScope, sys: Syscalls): Leftover[] {
  const mark = withdrawnMark(sys, cniConfDir);
  const conflists = ourConflists(sys, cniConfDir).map(({ path }) => ({
    ...fileLeftover(sys, path),
    ...(path.endsWith(CONFLIST_NAME) && { isShared: true as const }),
  }));
  return mark === undefined ? conflists : [...conflists, fileLeftover(sys, mark)];
}

/** Pinned programs and maps, and the filters that hold programs before Linux 6.6. */
function fastPathLeftovers({ sys, netlink }: CleanupTools): Leftover[] {
  const filters = devicesWithFilters(netlink).map((ifindex) => ({
    text: `program of the fast path at ingress of if${ifindex}`,
    remove: () => removeFilter(netlink, ifindex),
  }));
  if (listDir(sys, PIN_FOLDER) === undefined) return filters;
  return [...filters, { text: `directory ${PIN_FOLDER}`, remove: () => void removePins(sys, PIN_FOLDER) }];
}

function deviceLeftovers(netlink: Netlink): Leftover[] {
  const leftover = ({ index, name }: { readonly index: number; readonly name: string }): Leftover => ({
    text: `link ${name}`,
    remove: () => netlink.run(deleteLink({ index, name })),
  });
  // An agent or doctor that was killed during a probe has left the probe's device.
  const probes = MOMENTARY_DEVICES.flatMap((name) => getLink(netlink, { name }) ?? []);
  const overlays = overlayDevices(netlink).map((device) => ({ ...leftover(device), isShared: true as const }));
  return [...overlays, ...probes.map(leftover)];
}

/** Usually there are none, because the kernel removes nexthops together with their device. */
function nexthopLeftovers(netlink: Netlink): Leftover[] {
  return nexthopsIfAny(netlink)
    .filter(({ id, protocol }) => isReservedNexthopId(id) && protocol === WEFT_PROTOCOL)
    .map(({ id }) => ({ text: `nexthop id ${id}`, remove: () => netlink.run(deleteNexthop(id)) }));
}

function nexthopsIfAny(netlink: Netlink): ReturnType<typeof listNexthops> {
  try {
    return listNexthops(netlink);
  } catch (error) {
    // Kernels before 5.3 have no nexthop objects.
    if (error instanceof NetlinkError && (error.errno === EINVAL || error.errno === EOPNOTSUPP)) return [];
    throw error;
  }
}

function routeLeftovers(netlink: Netlink): Leftover[] {
  return ([4, 6] as const).flatMap((family) =>
    [WEFT_PROTOCOL, MOVE_PROTOCOL]
      .flatMap((protocol) => listRoutes(netlink, { family, protocol }))
      .map((route) => ({
        text: `route ${spellRoute(route)}`,
        remove: () => netlink.run(deleteRoute(route)),
      })),
  );
}

/** Our tables; their names contain the VNI, which is read from the devices. */
async function tableLeftovers({ netlink, nft }: CleanupTools): Promise<Leftover[]> {
  const vnis = listLinks(netlink, { kind: 'vxlan' }).flatMap(({ vxlan }) => (vxlan === undefined ? [] : [vxlan.vni]));
  const found: Leftover[] = [];
  for (const name of new Set([1, ...vnis].map(tableName))) {
    for (const family of TABLE_FAMILIES) {
      if ((await nft.list(family, name)) !== undefined) found.push(tableLeftover(nft, family, name));
    }
  }
  for (const name of MOMENTARY_TABLES) {
    for (const family of ['inet', 'netdev']) {
      if ((await nft.list(family, name)) !== undefined) found.push(tableLeftover(nft, family, name));
    }
  }
  return found;
}

/** Chains of the iptables flavour in both variants. Without executables for a variant, this node's agent made none there. */
async function chainLeftovers({ findIptables }: CleanupTools): Promise<Leftover[]> {
  const found: Leftover[] = [];
  for (const family of [4, 6] as const) {
    for (const iptables of (await findIptables(family)).all) {
      if (isIdle(iptables)) continue;
      if (isOutOfReach(iptables)) {
        const kept = 'in use on this node, and only a program with the capability NET_RAW can read its chains';
        found.push({ text: `chains of ${iptables.name}`, remove: () => undefined, kept });
        continue;
      }
      const saved = parseIptablesSave(await iptables.save());
      for (const chain of remainingChains(saved)) {
        const remove = (): Promise<void> => iptables.restore(planChanges([chain], saved).script);
        found.push({ text: `chain ${chain.table} ${chain.name} (${iptables.name})`, remove, isShared: true });
      }
    }
  }
  return found;
}

/**
 * State files, and the socket of a killed agent. What the commands of the extension backend made for peers is not removed; the
 * state file only says for which peers they ran.
 */
function stateLeftovers({ leaseFile, subnetFile }: CleanupScope, sys: Syscalls): Leftover[] {
  const ofBackends = BACKENDS.flatMap(({ stateFiles = [] }) =>
    stateFiles.map((name) => join(dirname(subnetFile), name)),
  );
  const beside = [savedStateFile(subnetFile), ...ofBackends, socketPathFor(subnetFile)];
  const files = [...(leaseFile === undefined ? [] : filesOfLease(leaseFile)), ...beside];
  return files.flatMap((file) => (statPath(sys, file) === undefined ? [] : [fileLeftover(sys, file)]));
}

/** Removing the first executable removes all of them, and restores the files that were kept. */
function executableLeftovers(folder: string): Leftover[] {
  return ourExecutables(folder).map((path) => ({
    text: `file ${path}`,
    remove: () => {
      removeExecutables(folder);
    },
  }));
}
