// `flanneld gc`, which also runs at the agent's start: frees what dead pods still hold on this node (survey.ts decides who is
// dead), and nothing else. It holds the plugin's own lock from the first look to the last removal, so that no ADD or DEL can
// happen in between.

import { OpError } from '../../../lib/errors.ts';
import { formatIp } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { AddressStore, withStoreIfFree } from '../../../lib/pods/address-store.ts';
import { removeState } from '../../../lib/pods/saved-config.ts';
import { printable } from '../../../lib/printable.ts';
import { deleteLink } from '../../../lib/rtnetlink/link.ts';
import { removeFile, statPath } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { stretched } from '../../cli/time-factor.ts';
import type { NodeHolder } from './holders.ts';
import { listLoneVeths } from './lone-veths.ts';
import { type GcScope, type Judged, judgeHolders } from './survey.ts';

export interface GcTools {
  readonly sys: Syscalls;
  readonly netlink: Netlink;
  readonly sleep: (ms: number) => Promise<void>;
}

/** One thing that is held, and why it was freed or kept. */
export interface GcItem {
  readonly kind: 'address' | 'saved configuration' | 'veth';
  readonly name: string;
  /** `<container> <interface>`; empty when nobody holds it. */
  readonly holder: string;
  readonly why: string;
  /** The command that frees it. */
  readonly cmd: string;
}

export interface GcReport {
  readonly network: string;
  readonly freed: readonly GcItem[];
  readonly kept: readonly GcItem[];
}

const LOCK_TRIES = 40;
const LOCK_PAUSE_MS = 50;

/**
 * Frees what provably dead pods hold; with `dryRun` it only reports what it would free. Rejects with an OpError when something cannot be
 * read, or when another process holds the plugin's lock for two seconds.
 */
export async function collectGarbage(scope: GcScope, tools: GcTools, dryRun = false): Promise<GcReport> {
  const { sys } = tools;
  const { addressFolder } = scope.pods;
  const hasStore = statPath(sys, addressFolder) !== undefined;
  if (dryRun || !hasStore) {
    const store = hasStore ? new AddressStore(sys, addressFolder) : undefined;
    return collectFrom(store, scope, tools, dryRun);
  }
  for (let tries = 0; tries < stretched(LOCK_TRIES); tries++) {
    const done = withStoreIfFree(sys, addressFolder, (store) => {
      // An earlier version regards files older than this file as files of an earlier boot, so it must not find it after a downgrade.
      removeFile(sys, `${addressFolder}/.boot`);
      return collectFrom(store, scope, tools, false);
    });
    if (done !== undefined) return done.value;
    await tools.sleep(LOCK_PAUSE_MS);
  }
  throw new OpError({ subsystem: 'gc', op: 'lock', object: `${addressFolder}/lock`, code: 'EAGAIN', detail: 'held' });
}

function collectFrom(store: AddressStore | undefined, scope: GcScope, tools: GcTools, dryRun: boolean): GcReport {
  const { sys, netlink } = tools;
  const judged = judgeHolders(sys, scope, store);
  const dead = judged.filter(({ verdict }) => verdict.isDead);
  const kept = judged.filter(({ verdict }) => !verdict.isDead);
  const lone = listLoneVeths(netlink, scope.pods.bridge);
  if (!dryRun) {
    for (const { holder } of dead) free(holder, scope, sys, store, kept);
    for (const { index, name } of lone) netlink.run(deleteLink({ index, name }));
  }
  const veths = lone.map(
    ({ name, why }): GcItem => ({ kind: 'veth', name, holder: '', why, cmd: `ip link del ${name}` }),
  );
  return {
    network: scope.pods.network,
    freed: [...dead.flatMap((one) => itemsOf(one, scope)), ...veths],
    kept: kept.flatMap((one) => itemsOf(one, scope)),
  };
}

function free(
  holder: NodeHolder,
  { pods }: GcScope,
  sys: Syscalls,
  store: AddressStore | undefined,
  kept: readonly Judged[],
): void {
  if (holder.ips.length > 0) store?.releaseAddresses(holder, holder.ips);
  if (holder.saved.length === 0) return;
  // flannel's own plugin keeps one file for all interfaces of a container.
  const shares = kept.some((other) => other.holder.containerId === holder.containerId);
  removeState(sys, pods.savedFolder, holder, shares ? 'keepOthers' : 'all');
}

function itemsOf({ holder, verdict }: Judged, { pods }: GcScope): GcItem[] {
  const common = { holder: `${holder.containerId} ${holder.ifname}`.trim(), why: verdict.why };
  const addresses = holder.ips.map((ip): GcItem => {
    const name = formatIp(ip);
    return { kind: 'address', name, ...common, cmd: `rm ${pods.addressFolder}/${name}` };
  });
  const saved = holder.saved.map(
    (path): GcItem => ({ kind: 'saved configuration', name: path, ...common, cmd: `rm ${path}` }),
  );
  return [...addresses, ...saved];
}

/** One line for each thing and a last one with the counts. Container ids are shortened as by crictl(1). */
export function gcText({ network, freed, kept }: GcReport, dryRun: boolean): string {
  const verb = dryRun ? 'would free' : 'freed';
  const line = (word: string, { kind, name, holder, why }: GcItem): string =>
    `${word} ${kind} ${name}${holder === '' ? '' : ` of ${holder}`}: ${why}`;
  const lines = [...freed.map((item) => line(verb, item)), ...kept.map((item) => line('kept', item))];
  const summary = `${verb} ${counted(freed)}, kept ${counted(kept)} in network ${network}`;
  return lines.length === 0
    ? `no address, configuration or veth is kept in network ${network}\n`
    : `${[...lines, summary].map(shown).join('\n')}\n`;
}

/** Makes control characters harmless, because anybody may have made the names of files. */
function shown(line: string): string {
  return printable(line).replace(/\b([0-9a-f]{13})[0-9a-f]{51}\b/g, '$1');
}

const PLURALS = { address: 'addresses', 'saved configuration': 'saved configurations', veth: 'veths' } as const;

/** `2 addresses and 1 saved configuration`. */
function counted(items: readonly GcItem[]): string {
  const counts = (['address', 'saved configuration', 'veth'] as const).flatMap((kind) => {
    const count = items.filter((item) => item.kind === kind).length;
    return count === 0 ? [] : [`${count} ${count === 1 ? kind : PLURALS[kind]}`];
  });
  return counts.length === 0 ? 'nothing' : counts.join(', ').replace(/, ([^,]*)$/, ' and $1');
}
