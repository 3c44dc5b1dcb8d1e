// Reads the present state of the pods' side of this node from the kernel and CNI's files.

import { field, type JsonObject } from '../../../lib/json.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { listCachedResults, RESULTS_FOLDER } from '../../../lib/pods/cached-result.ts';
import { hostVethName } from '../../../lib/pods/names.ts';
import { type AttachmentId, listStates, loadState } from '../../../lib/pods/saved-config.ts';
import { type Address, listAddresses } from '../../../lib/rtnetlink/address.ts';
import { type Link, listLinks } from '../../../lib/rtnetlink/link.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { PodNetwork } from '../pod-network.ts';

export interface ObservedPodSide {
  /** Undefined when no pod was ever attached, or somebody removed the bridge. */
  readonly bridge: Link | undefined;
  readonly addresses: readonly Address[];
  readonly ports: readonly Link[];
  /** Veths that are on no bridge. */
  readonly loose: readonly Link[];
}

/** Throws NetlinkError. */
export function observePodSide(netlink: Netlink, bridgeName: string): ObservedPodSide {
  const links = listLinks(netlink);
  const bridge = links.find(({ name, kind }) => name === bridgeName && kind === 'bridge');
  return {
    bridge,
    addresses: bridge === undefined ? [] : listAddresses(netlink, { index: bridge.index }),
    ports: bridge === undefined ? [] : links.filter(({ master }) => master === bridge.index),
    loose: links.filter(({ kind, master }) => kind === 'veth' && (master ?? 0) === 0),
  };
}

/** The settings of an attachment. */
export interface Attachment extends AttachmentId {
  readonly bridge: string;
  readonly hairpin: boolean;
}

/**
 * Attachments without a DEL, by the name of their device on the node. The name is the one our plugin gives, or the one in the
 * runtime's cache, because the reference plugin chooses random names. flannel's own plugin saves one file for each container.
 */
export function listAttachments(
  sys: Syscalls,
  { network, savedFolder }: PodNetwork,
  cniStateDir: string,
): Map<string, Attachment> {
  const cached = listCachedResults(sys, `${cniStateDir}/${RESULTS_FOLDER}`);
  const found = new Map<string, Attachment>();
  const add = (id: AttachmentId, names: readonly string[]): void => {
    if (id.containerId === '' || `${id.containerId}${id.ifname}`.includes('/')) return;
    const state = loadState(sys, savedFolder, id);
    if (state === undefined || state === 'corrupt') return;
    for (const name of names) found.set(name, { ...id, ...madeWith(state) });
  };
  for (const id of listStates(sys, savedFolder, network)) add(id, [hostVethName(id.containerId, id.ifname)]);
  for (const { network: of, containerId, ifname, hostInterfaces } of cached.values()) {
    if (of === network) add({ containerId, ifname }, hostInterfaces);
  }
  return found;
}

function madeWith(state: JsonObject): Pick<Attachment, 'bridge' | 'hairpin'> {
  const bridge = field(state, 'bridge');
  return {
    bridge: typeof bridge === 'string' && bridge !== '' ? bridge : 'cni0',
    hairpin: field(state, 'hairpinMode') === true,
  };
}
