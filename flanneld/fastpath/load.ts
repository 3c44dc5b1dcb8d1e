// `flanneld load-fast-path`: loads the programs and pins them for an agent that has fewer rights. Where conntrack is a module, a program
// that calls its functions needs CAP_SYS_ADMIN to be loaded. The agent should not have this right for as long as it runs.

import { isBpffs } from '../../lib/bpf/pin.ts';
import { OpError } from '../../lib/errors.ts';
import { listUdpConnections } from '../../lib/netfilter/conntrack.ts';
import { openNetfilter } from '../../lib/netfilter/netfilter-socket.ts';
import { openNetlink } from '../../lib/netlink/connection.ts';
import { PIN_FOLDER, PIN_ROOT } from '../../lib/pods/fast-path-pods.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { KernelState } from './kernel-state.ts';

/** Returns one line that says what was done. It never fails: without programs packets go the classic way. */
export function loadFastPath(sys: Syscalls): string {
  const failed = (why: string): string => `fast path not loaded, packets go the classic way: ${why}`;
  try {
    if (!isBpffs(sys, PIN_ROOT)) return failed(`there is no bpffs at ${PIN_ROOT}`);
    loadConntrack(sys);
    const netlink = openNetlink(sys);
    const state = new KernelState(sys, netlink, PIN_FOLDER);
    state.pinPrograms();
    state.close();
    netlink.close();
    return `fast path loaded: programs are in ${PIN_FOLDER}`;
  } catch (error) {
    if (!(error instanceof OpError || error instanceof RangeError)) throw error;
    return failed(error.message);
  }
}

/** After a boot nobody may have used conntrack yet. A request for its list makes the kernel load its modules. */
export function loadConntrack(sys: Syscalls): void {
  const { netlink, close } = openNetfilter(sys);
  try {
    listUdpConnections(netlink, 4, 0);
  } catch (error) {
    if (!(error instanceof OpError)) throw error;
    // A kernel may have conntrack without this list. If conntrack is missing, loading the programs fails and says so.
  } finally {
    close();
  }
}
