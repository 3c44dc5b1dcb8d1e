// The bridge plugin: a veth pair between a pod and a bridge of the node (containernetworking/plugins
// plugins/main/bridge).

import { OpError } from '../../lib/errors.ts';
import { openNetlink } from '../../lib/netlink/connection.ts';
import { forgetFastPathOf } from '../../lib/pods/fast-path-pods.ts';
import { hostVethName } from '../../lib/pods/names.ts';
import { getLink } from '../../lib/rtnetlink/link.ts';
import { closeFd } from '../../lib/sys/file.ts';
import { inNetns } from '../../lib/sys/netns.ts';
import { garbageIpam, releaseIpam, statusIpam, unlistedAttachments } from '../ipam.ts';
import { because } from '../protocol/error.ts';
import type { Invocation, Plugin } from '../protocol/plugin.ts';
import { ALL_VERSIONS } from '../protocol/versions.ts';
import { addBridgeAttachment } from './add.ts';
import { readFlag, readIpamType } from './bridge-config.ts';
import { checkBridgeAttachment } from './check.ts';
import { deleteLinkByName, deleteLinkSoon } from './delete-link.ts';
import { removeSpoofCheck } from './mac-spoofing.ts';
import { removeMasquerade } from './masquerade.ts';

/**
 * Removes the pair: by the host end's name, which follows from the attachment, else (the Go plugin made it) by the interface in the netns.
 * It is a success if nothing is left to remove, or the netns is gone.
 */
function detach(invocation: Invocation): void {
  const { sys, containerId, ifname } = invocation;
  const netlink = openNetlink(sys);
  try {
    const host = getLink(netlink, { name: hostVethName(containerId, ifname) });
    if (host === undefined) deleteInPod(invocation);
    else {
      closePodNetns(invocation);
      forgetFastPathOf(sys, host.index);
      deleteLinkSoon(sys, netlink, host);
    }
  } catch (thrown) {
    if (!(thrown instanceof OpError)) throw thrown;
    throw because(`cannot delete "${ifname}"`, thrown);
  } finally {
    netlink.close();
  }
}

function deleteInPod(invocation: Invocation): void {
  const { sys, ifname, netnsHandle } = invocation;
  if (netnsHandle === undefined || !('fd' in netnsHandle)) return;
  inNetns(sys, netnsHandle.fd, () => {
    closePodNetns(invocation);
    deleteLinkByName(sys, ifname);
  });
}

/**
 * The child that deletes the device lives longer than this process and inherits its open files. An open netns file keeps its mount busy,
 * and the runtime unmounts it as soon as we answer. So the file is closed first.
 */
function closePodNetns(invocation: Invocation): void {
  const { sys, netnsHandle } = invocation;
  if (netnsHandle !== undefined && 'fd' in netnsHandle) closeFd(sys, netnsHandle.fd);
}

function del(invocation: Invocation): void {
  detach(invocation);
  const type = readIpamType(invocation);
  if (type !== '') releaseIpam(invocation, type);
  if (readFlag(invocation, 'macspoofchk')) removeSpoofCheck(invocation);
  if (readFlag(invocation, 'ipMasq')) removeMasquerade(invocation);
}

function status(invocation: Invocation): void {
  const type = readIpamType(invocation);
  if (type !== '') statusIpam(invocation, type);
}

/** Differs from the Go plugin, which does nothing. Veths are removed before their addresses are released. */
function gc(invocation: Invocation): void {
  const type = readIpamType(invocation);
  if (type === '') return;
  for (const { containerId, ifname } of unlistedAttachments(invocation, type)) {
    deleteLinkByName(invocation.sys, hostVethName(containerId, ifname));
  }
  garbageIpam(invocation, type);
}

export const bridge: Plugin = {
  name: 'bridge',
  supported: ALL_VERSIONS,
  add: addBridgeAttachment,
  del,
  check: checkBridgeAttachment,
  status,
  gc,
};
