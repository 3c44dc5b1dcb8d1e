// Garbage collection at the agent's start and as `flanneld gc`: finds from the options where to look.

import { type Clock, systemClock } from '../../../lib/clock-node.ts';
import { errorText } from '../../../lib/errors.ts';
import { type Netlink, openNetlink } from '../../../lib/netlink/connection.ts';
import { printableJson } from '../../../lib/printable.ts';
import { readTextIfPresent } from '../../../lib/sys/file.ts';
import { openKoffiSyscalls } from '../../../lib/sys/koffi.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { Options } from '../../cli/options.ts';
import { ourConflists } from '../../cni/conflist.ts';
import type { DriftNotes } from '../../health/drift-ledger.ts';
import type { Logger } from '../../health/log.ts';
import { type PodNetwork, podNetworkIn } from '../pod-network.ts';
import { collectGarbage, type GcItem, gcText } from './collect.ts';
import type { GcScope } from './survey.ts';

type Places = Pick<Options, 'cniConf' | 'cniConfDir' | 'cniStateDir' | 'netnsDir'>;

const CONFLIST_LIMIT_BYTES = 1024 * 1024;

function scopeOf(sys: Syscalls, places: Places): GcScope {
  const { cniStateDir, netnsDir } = places;
  return { pods: podNetworkOf(sys, places), cniStateDir, netnsDir };
}

/** The pods' network, from the conflist to install or, without one, from the installed conflist. */
export function podNetworkOf(
  sys: Syscalls,
  { cniConf, cniConfDir, cniStateDir }: Omit<Places, 'netnsDir'>,
): PodNetwork {
  const own = cniConf === undefined ? undefined : readTextIfPresent(sys, cniConf, CONFLIST_LIMIT_BYTES);
  const installed = ourConflists(sys, cniConfDir).map(({ text }) => text);
  const conflists = own === undefined ? installed : [own, ...installed];
  return podNetworkIn(conflists, cniStateDir);
}

function sleepOf(clock: Clock): (ms: number) => Promise<void> {
  return (ms) =>
    new Promise((resolve) => {
      clock.after(ms, resolve);
    });
}

interface CollectTools {
  readonly sys: Syscalls;
  readonly netlink: Netlink;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Frees what earlier pods have left, before new pods come. A failure is only a warning, and the agent starts nevertheless. */
export async function collectAtStart(places: Places, tools: CollectTools, drift: DriftNotes): Promise<void> {
  const { sys, netlink, clock, log } = tools;
  try {
    const scope = scopeOf(sys, places);
    const { freed, kept } = await collectGarbage(scope, { sys, netlink, sleep: sleepOf(clock) });
    for (const item of freed) {
      log.info({ ...item }, 'freed what a dead pod had');
      drift.note(driftOf(item, scope.pods.network));
    }
    for (const item of kept) log.debug({ ...item }, 'kept what a pod has');
  } catch (error) {
    log.warn({ err: errorText(error) }, 'what dead pods have could not be freed');
  }
}

function driftOf({ kind, name, holder, why, cmd }: GcItem, network: string) {
  return { object: 'attachment', place: network, what: `${kind} ${name} ${holder}`.trim(), was: why, cmd } as const;
}

/** `flanneld gc`: writes what was freed and kept. Rejects like collectGarbage. */
export async function gcCommand(
  places: Places,
  { json, dryRun }: Pick<Options, 'json' | 'dryRun'>,
  write: (text: string) => void,
): Promise<void> {
  const sys = openKoffiSyscalls();
  const tools = { sys, netlink: openNetlink(sys), sleep: sleepOf(systemClock) };
  const report = await collectGarbage(scopeOf(sys, places), tools, dryRun);
  write(json ? `${printableJson(JSON.stringify({ dryRun, ...report }, null, 2))}\n` : gcText(report, dryRun));
}
