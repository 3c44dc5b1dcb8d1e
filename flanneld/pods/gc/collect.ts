// `flanneld gc`, also at the agent's start: frees what the dead still hold on this node (survey.ts says who is), and
// nothing else. The lock is the plugin's own, held from the look to the last removal, so that an ADD or a DEL at the same
// moment comes before or after, never between.

import { OpError } from '../../../lib/errors.ts';
import { formatIp } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { AddressStore, withStoreIfFree } from '../../../lib/pods/address-store.ts';
import { stampBoot } from '../../../lib/pods/boot.ts';
import { removeState } from '../../../lib/pods/saved-config.ts';
import { deleteLink } from '../../../lib/rtnetlink/link.ts';
import { statPath } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { Holder } from './holders.ts';
import { listLoneVeths } from './lone-veths.ts';
import { type GcScope, type Judged, survey } from './survey.ts';

export interface GcTools {
  readonly sys: Syscalls;
  readonly netlink: Netlink;
  readonly sleep: (ms: number) => Promise<void>;
}

/** One thing somebody holds, and why it was freed or kept. */
export interface GcItem {
  readonly kind: 'address' | 'saved configuration' | 'veth';
  readonly name: string;
  /** `<container> <interface>`; '' for nobody's. */
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
 * Frees what is provably dead, or with `dryRun` only says what it would and changes nothing. Rejects with an OpError
 * when something cannot be looked at, or somebody has the plugin's lock for two seconds.
 */
export async function collectGarbage(scope: GcScope, tools: GcTools, dryRun = false): Promise<GcReport> {
  const { sys } = tools;
  const { addressFolder } = scope.pods;
  const hasStore = statPath(sys, addressFolder) !== undefined;
  if (dryRun || !hasStore) {
    const store = hasStore ? new AddressStore(sys, addressFolder) : undefined;
    return collectFrom(store, scope, tools, dryRun);
  }
  for (let tries = 0; tries < LOCK_TRIES; tries++) {
    const done = withStoreIfFree(sys, addressFolder, (store) => {
      stampBoot(store);
      return collectFrom(store, scope, tools, false);
    });
    if (done !== undefined) return done.value;
    await tools.sleep(LOCK_PAUSE_MS);
  }
  throw new OpError({ subsystem: 'gc', op: 'lock', object: `${addressFolder}/lock`, code: 'EAGAIN', detail: 'held' });
}

function collectFrom(store: AddressStore | undefined, scope: GcScope, tools: GcTools, dryRun: boolean): GcReport {
  const { sys, netlink } = tools;
  const judged = survey(sys, scope, store);
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
  holder: Holder,
  { pods }: GcScope,
  sys: Syscalls,
  store: AddressStore | undefined,
  kept: readonly Judged[],
): void {
  if (holder.ips.length > 0) store?.releaseAddresses(holder, holder.ips);
  if (holder.saved.length === 0) return;
  // flannel's own plugin has one file for all interfaces of a container.
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

/** One line a thing, each ended. Names on the disk are anybody's: no control character of theirs gets out. */
export function gcText({ network, freed, kept }: GcReport, dryRun: boolean): string {
  const line = (verb: string, { kind, name, holder, why }: GcItem): string =>
    `${verb} ${kind} ${name}${holder === '' ? '' : ` of ${holder}`}: ${why}`.replace(/\p{Cc}/gu, '?');
  const lines = [
    ...freed.map((item) => line(dryRun ? 'would free' : 'freed', item)),
    ...kept.map((item) => line('kept', item)),
  ];
  return lines.length === 0 ? `nothing is held in network ${network}\n` : `${lines.join('\n')}\n`;
}
