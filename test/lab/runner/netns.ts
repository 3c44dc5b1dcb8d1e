// Named network namespaces like those of ip-netns(8), made without executing ip(8) twice for each pod. The calling thread makes the
// namespace, mounts it under its name and goes back (unshare(2), mount(2), setns(2)).

import { closeSync, openSync, unlinkSync } from 'node:fs';
import { openNetlink } from '../../../lib/netlink/connection.ts';
import { setLink } from '../../../lib/rtnetlink/link.ts';
import { closeFd } from '../../../lib/sys/file.ts';
import { inNetns, openNetns } from '../../../lib/sys/netns.ts';
import { check } from '../../../lib/sys/sys-error.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';

export const NETNS_FOLDER = '/run/netns';

const CLONE_NEWNET = 0x4000_0000;
const MS_BIND = 0x1000;
const MNT_DETACH = 2;
const OWN = '/proc/thread-self/ns/net';
/** The interface index of lo in every namespace. */
const LOOPBACK_INDEX = 1;

/**
 * Makes the network namespace that `path` names, and sets lo up. The code awaits nothing in between, because other code would then
 * run in that namespace.
 */
export function makeNetns(sys: Syscalls, path: string): void {
  closeSync(openSync(path, 'wx', 0o444));
  const own = openNetns(sys, OWN);
  try {
    // The thread first enters its own namespace, so that inNetns brings it back whatever happens.
    inNetns(sys, own, () => {
      check(sys.call(sys.nr.unshare, CLONE_NEWNET), 'make', `netns ${path}`);
      bringLoopbackUp(sys);
      bindMount(sys, OWN, path);
    });
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeFd(sys, own);
  }
}

/** Removes the name. The namespace disappears when nothing uses it any more. */
export function removeNetns(sys: Syscalls, path: string): void {
  sys.arena.scope(() => {
    check(sys.call(sys.nr.umount2, sys.arena.cstring(path).address, MNT_DETACH), 'unmount', path);
  });
  unlinkSync(path);
}

function bindMount(sys: Syscalls, from: string, to: string): void {
  sys.arena.scope(() => {
    const [source, target] = [sys.arena.cstring(from), sys.arena.cstring(to)];
    check(sys.call(sys.nr.mount, source.address, target.address, 0, MS_BIND, 0), 'mount', to);
  });
}

function bringLoopbackUp(sys: Syscalls): void {
  const netlink = openNetlink(sys);
  try {
    netlink.run(setLink({ index: LOOPBACK_INDEX, name: 'lo', up: true }));
  } finally {
    netlink.close();
  }
}
