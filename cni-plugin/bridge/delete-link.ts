// Deletes a device without waiting for the kernel's RCU barrier, which takes 10–30 ms after the device is gone and the rtnl lock released.
// A child asks for the deletion and waits for the barrier; this process returns as soon as the device is gone everywhere. Two things show
// this: the kernel's RTM_DELLINK, which is sent when both ends of a veth are closed and unlisted, and then the answer to an RTM_GETLINK,
// which needs the lock and so cannot come before the child has released it.

import { decodeAck } from '../../lib/netlink/ack.ts';
import { type Netlink, openNetlink } from '../../lib/netlink/connection.ts';
import { NETLINK_ROUTE, NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR } from '../../lib/netlink/constants.ts';
import { MessageReader } from '../../lib/netlink/reader.ts';
import type { NetlinkRequest } from '../../lib/netlink/request.ts';
import { MessageWriter } from '../../lib/netlink/writer.ts';
import { deleteLink, getLink, type LinkRef } from '../../lib/rtnetlink/link.ts';
import { AF_UNSPEC, RTM_DELLINK, RTNLGRP_LINK } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import type { Slot } from '../../lib/sys/arena.ts';
import { monotonicMs } from '../../lib/sys/clock.ts';
import { EAGAIN, ENODEV } from '../../lib/sys/errno.ts';
import { closeFd } from '../../lib/sys/file.ts';
import {
  AF_NETLINK,
  bindNetlink,
  openSocket,
  POLLIN,
  pollFds,
  receiveDatagram,
  SOCK_RAW,
  SOCKADDR_NL_BYTES,
} from '../../lib/sys/socket.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';

/** After this time in milliseconds, the deletion is repeated in this process. */
const HANDOFF_LIMIT_MS = 5000;
/** How often to check, while no message comes, whether the child still runs, in milliseconds. */
const CHILD_CHECK_MS = 50;
const WNOHANG = 1;
const REPLY_BYTES = 16 * 1024;
const REQUEST_BYTES = 256;

/**
 * What the two sockets have reported: the device is gone, the deletion was refused, or nothing. In the last case the kernel must be asked.
 */
type News = 'gone' | 'ask' | 'none';

/**
 * Deletes a device (and with it a veth's other end) in the current netns, and returns when it is gone. It is a success if the device is
 * gone already. Throws NetlinkError when the kernel refuses.
 */
export function deleteLinkSoon(
  sys: Syscalls,
  netlink: Netlink,
  link: { readonly index: number; readonly name: string },
): void {
  let gone = false;
  try {
    gone = handOver(sys, netlink, link);
  } catch {
    // When no process or socket can be made, the slow way is used, which needs neither.
  }
  if (!gone) deleteNow(netlink, link);
}

function deleteNow(netlink: Netlink, link: LinkRef): void {
  for (const failed of netlink.execute([deleteLink(link)])) if (failed.errno !== ENODEV) throw failed;
}

function openBound(sys: Syscalls, groups: number): number {
  const fd = openSocket(sys, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  bindNetlink(sys, fd, groups);
  return fd;
}

/** Whether the device is gone. The question waits for a deletion in progress. */
function isGone(netlink: Netlink, index: number): boolean {
  return getLink(netlink, { index }) === undefined;
}

function handOver(sys: Syscalls, netlink: Netlink, link: { readonly index: number; readonly name: string }): boolean {
  const events = openBound(sys, 1 << (RTNLGRP_LINK - 1));
  const deleter = openBound(sys, 0);
  try {
    const request = sys.arena.keep(REQUEST_BYTES);
    const kernel = sys.arena.keep(SOCKADDR_NL_BYTES);
    kernel.setU16(0, AF_NETLINK);
    const length = writeRequest(request.bytes(), deleteLink(link));
    const { sendto } = sys.nr;
    const child = sys.detach(-1, sendto, deleter, request.address, length, 0, kernel.address, kernel.length);
    if (child < 0) return false;
    return sys.arena.scope(() => awaitDeletion(sys, netlink, { events, deleter, child, index: link.index }));
  } finally {
    closeFd(sys, events);
    closeFd(sys, deleter);
  }
}

function writeRequest(memory: Uint8Array, request: NetlinkRequest): number {
  const writer = new MessageWriter(memory);
  writer.begin(request.type, request.flags | NLM_F_REQUEST | NLM_F_ACK, 1);
  request.write(writer);
  writer.end();
  return writer.length;
}

interface Watch {
  /** Receives the events about deleted devices. */
  readonly events: number;
  /** The child's socket, which is shared with us: a refusal arrives here. */
  readonly deleter: number;
  readonly child: number;
  readonly index: number;
}

/** Whether the child has ended; it should still be in the kernel long after the device is gone. */
function hasEnded(sys: Syscalls, child: number): boolean {
  return sys.call(sys.nr.wait4, child, 0, WNOHANG, 0) !== 0;
}

function awaitDeletion(sys: Syscalls, netlink: Netlink, watch: Watch): boolean {
  const buffer = sys.arena.buffer(REPLY_BYTES);
  const deadline = monotonicMs(sys) + HANDOFF_LIMIT_MS;
  for (;;) {
    const leftMs = deadline - monotonicMs(sys);
    if (leftMs <= 0) return isGone(netlink, watch.index);
    const [heard = 0, answered = 0] = pollFds(
      sys,
      [
        { fd: watch.events, events: POLLIN },
        { fd: watch.deleter, events: POLLIN },
      ],
      Math.min(leftMs, CHILD_CHECK_MS),
    );
    if (heard + answered === 0 && hasEnded(sys, watch.child)) return isGone(netlink, watch.index);
    if (heard !== 0) {
      const news = readEvents(sys, buffer, watch);
      // When events were lost, none may have been about this device, so the kernel is asked.
      if (news !== 'none' && isGone(netlink, watch.index)) return true;
    }
    if (answered !== 0 && readAnswer(sys, buffer, watch) !== 'none') return isGone(netlink, watch.index);
  }
}

function readEvents(sys: Syscalls, buffer: Slot, watch: Watch): News {
  for (;;) {
    const length = receiveDatagram(sys, watch.events, buffer);
    if (length === -EAGAIN) return 'none';
    if (length < 0 || length > buffer.length) return 'ask';
    const message = new MessageReader(buffer.bytes(), length);
    while (message.next()) {
      if (message.type !== RTM_DELLINK) continue;
      // For its port the bridge sends the same message with family AF_BRIDGE, before the device is gone.
      const at = message.struct(16);
      if (message.view.getUint8(at) === AF_UNSPEC && message.view.getInt32(at + 4, true) === watch.index) return 'gone';
    }
  }
}

function readAnswer(sys: Syscalls, buffer: Slot, watch: Watch): News {
  const length = receiveDatagram(sys, watch.deleter, buffer);
  if (length === -EAGAIN) return 'none';
  if (length < 0) return 'ask';
  const message = new MessageReader(buffer.bytes(), Math.min(length, buffer.length));
  while (message.next()) {
    if (message.type === NLMSG_ERROR) return decodeAck(message).errno === 0 ? 'gone' : 'ask';
  }
  return 'ask';
}

/** Opens a connection in the current netns and deletes the device of that name if there is one. */
export function deleteLinkByName(sys: Syscalls, name: string): void {
  const netlink = openNetlink(sys);
  try {
    const link = getLink(netlink, { name });
    if (link !== undefined) deleteLinkSoon(sys, netlink, link);
  } finally {
    netlink.close();
  }
}
