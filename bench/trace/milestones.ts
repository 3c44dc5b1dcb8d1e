// Finds the points T1 to T4 of a pod in the kernel's own trace. This works for any CNI plugin, and neither changes the plugin nor slows
// it down as a debugger would. Pure.
//
// T1  the plugin runs: its execve is done (sched_process_exec).
// T2  its address is allocated: the file of host-local's store, which is named like the address, is there (openat).
// T3  the interface is in the pod: its eth0 was brought up, which gives it its queue (qdisc_create).
// T4  the host side is ready: a veth pair carries packets both ways only when the kernel's link watch has run after
//     both ends are up; until then the host end has no queue (what is sent to the pod is dropped) and its bridge port
//     may be disabled (what the pod sends is).

import { fieldOf, hasFailed, type TraceLine } from './lines.ts';
import type { TraceSpec } from './tracefs.ts';

export interface Milestones {
  readonly t1?: number | undefined;
  readonly t2?: number | undefined;
  readonly t3?: number | undefined;
  readonly t4?: number | undefined;
}

/** O_CREAT, and a path that ends like an IPv4 address. */
const ADDRESS_FILE = 'flags & 0x40 && filename.ustring ~ "*[0-9].[0-9]*.[0-9]*.[0-9]*"';
const LINK_WATCH = 'function.function == linkwatch_event';

export const MILESTONE_EVENTS: readonly TraceSpec[] = [
  {
    name: 'plugin',
    follows: true,
    events: {
      'sched/sched_process_exec': '',
      'qdisc/qdisc_create': '',
      'syscalls/sys_enter_openat': ADDRESS_FILE,
      'syscalls/sys_exit_openat': '',
    },
  },
  {
    // The kernel's own threads run the link watch, so this instance follows no process.
    name: 'kernel',
    follows: false,
    events: { 'workqueue/workqueue_execute_start': LINK_WATCH, 'workqueue/workqueue_execute_end': LINK_WATCH },
  },
];

/** The points of the ADD that began at `t0` and gave the pod the interface `device`. A point that is not found is left out. */
export function findMilestones(lines: readonly TraceLine[], t0: number, device = 'eth0'): Milestones {
  const own = lines.filter(({ atNs }) => atNs >= t0);
  const t3 = own.find((line) => line.event === 'qdisc_create' && fieldOf(line, 'dev') === device)?.atNs;
  return {
    t1: own.find(({ event }) => event === 'sched_process_exec')?.atNs,
    t2: addressAllocated(own),
    t3,
    t4: t3 === undefined ? undefined : linkWatchAfter(own, t3),
  };
}

/** When the first creation of an address file succeeded. For an address that is already taken, it fails with EEXIST. */
function addressAllocated(lines: readonly TraceLine[]): number | undefined {
  const entered = new Set<number>();
  for (const line of lines) {
    if (line.call !== 'openat') continue;
    if (line.event === 'sys_enter') {
      entered.add(line.tid);
    } else if (entered.delete(line.tid) && !hasFailed(line)) {
      return line.atNs;
    }
  }
  return undefined;
}

/** When a link watch that began after the interface was up had ended. One that already ran then may not have seen it. */
function linkWatchAfter(lines: readonly TraceLine[], upNs: number): number | undefined {
  const started = lines.find(({ event, atNs }) => event === 'workqueue_execute_start' && atNs >= upNs);
  if (started === undefined) return undefined;
  return lines.find(
    ({ event, tid, atNs }) => event === 'workqueue_execute_end' && tid === started.tid && atNs >= started.atNs,
  )?.atNs;
}
