// Decides whether the holder of something on a node is dead. Only absence proves this, never an id or a time: either the netns that it was
// given is gone and no port is left that could belong to it, or everything on the node that could belong to it (ports of the bridge, pinned
// namespaces, running ADDs) is explained by others. In doubt it is kept, with the reason. The CNI executable asks when a range is used up,
// the agent at its start and for `flanneld gc`.

import { ENOENT, ENOTDIR } from '../sys/errno.ts';
import { closeFd } from '../sys/file.ts';
import { NotNetnsError, openNetns } from '../sys/netns.ts';
import { SysError } from '../sys/sys-error.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import type { CachedResult } from './cached-result.ts';
import type { Unexplained } from './unexplained.ts';

/** What is known about the netns that an attachment was given. */
export type NetnsState =
  | { readonly kind: 'there' | 'gone'; readonly path: string }
  /** `why`: no record says which netns it was, or it cannot be determined whether it exists. */
  | { readonly kind: 'unknown'; readonly why: string };

export interface Facts {
  /** The owner in the address file, `<container>\r\n<interface>`; '' when the ADD was killed before it wrote the owner. */
  readonly owner: string;
  readonly netns: NetnsState;
  /** Whether its ADD is running. Then it may not have a port yet. */
  readonly isBeingAdded: boolean;
  /** Whether a running ADD for it could be invisible: flannel's own plugin saves its file first and takes no lock. */
  readonly mayBeAddedUnseen: boolean;
}

/** What is known of the node. */
export interface Surroundings extends Unexplained {
  readonly bridge: string;
  /** Whether every pod of the network has a port of the bridge. Otherwise only a netns that is gone proves anything. */
  readonly isBridged: boolean;
  /** Why pinned namespaces may be invisible; undefined when they are visible. */
  readonly blind: string | undefined;
}

export interface Verdict {
  readonly isDead: boolean;
  readonly why: string;
}

export const NOT_CACHED = {
  kind: 'unknown',
  why: 'the runtime’s cache does not say which netns it has',
} as const satisfies NetnsState;

/** The verdict where nothing else needs to be known; undefined when the node must be examined. Pure. */
export function judgeAlone({ netns, isBeingAdded }: Pick<Facts, 'netns' | 'isBeingAdded'>): Verdict | undefined {
  if (isBeingAdded) return kept('its ADD is running');
  return netns.kind === 'there' ? kept(`its netns ${netns.path} is there`) : undefined;
}

/** Pure. `findSign` names a sign that the holder is alive, its addresses included; it is called only where nothing simpler decides. */
export function judge(facts: Facts, node: Surroundings, findSign: () => string | undefined): Verdict {
  const alone = judgeAlone(facts);
  if (alone !== undefined) return alone;
  const suspicion = suspicionOf(facts);
  const doubt = findSign() ?? doubtAbout(facts, node);
  return doubt === undefined ? { isDead: true, why: proofOf(facts, suspicion) } : kept(joined(suspicion, doubt));
}

function kept(why: string): Verdict {
  return { isDead: false, why };
}

function suspicionOf({ owner, netns }: Facts): string {
  if (owner === '') return 'it names nobody: its ADD was killed';
  return netns.kind === 'unknown' ? netns.why : `its netns ${netns.path} is gone`;
}

/** If something is invisible this is mentioned once, although it hides both the netns and the other pods. */
function joined(suspicion: string, doubt: string): string {
  return doubt === suspicion ? doubt : `${suspicion}, but ${doubt}`;
}

function proofOf({ owner, netns }: Facts, suspicion: string): string {
  const isEnough = owner === '' || netns.kind === 'gone';
  return isEnough ? suspicion : 'every port and every pinned netns of this node is another’s';
}

/** Returns why the holder may still be alive; undefined when it cannot be. */
function doubtAbout({ owner, netns, mayBeAddedUnseen }: Facts, node: Surroundings): string | undefined {
  const { isBridged, blind, pins } = node;
  if (!isBridged) return netns.kind === 'gone' ? undefined : suspicionWithoutPorts(netns);
  const port = portDoubt(node);
  if (port !== undefined) return port;
  // The port would still exist, because processes may hold a namespace that has no name any more.
  if (netns.kind === 'gone') return undefined;
  // An address without an owner was never given to a pod: an ADD writes the owner while it holds the lock that we hold now.
  if (owner === '') return undefined;
  if (mayBeAddedUnseen) return 'flannel’s plugin may be at work on it';
  return blind ?? pinDoubt(pins);
}

function suspicionWithoutPorts(netns: NetnsState): string {
  return netns.kind === 'unknown' ? netns.why : 'it may live';
}

function portDoubt({ ports: [port], bridge }: Surroundings): string | undefined {
  const place = port?.isOnBridge === true ? `on ${bridge}` : 'on no bridge';
  return port && `port ${port.name} ${place} is no known pod’s and may be its`;
}

function pinDoubt([pin]: Unexplained['pins']): string | undefined {
  return pin && `netns ${pin.paths[0]} is no known pod’s and may be its`;
}

/** Whether the path is a namespace. Whatever cannot be determined is unknown. */
export function lookAtNetns(sys: Syscalls, path: string): NetnsState {
  // The kernel reuses pids, and other processes may hold the namespace.
  if (path.startsWith('/proc/')) return { kind: 'unknown', why: `its netns was that of a process, ${path}` };
  if (!path.startsWith('/')) return { kind: 'unknown', why: `its netns ${path} is no whole path` };
  try {
    closeFd(sys, openNetns(sys, path));
    return { kind: 'there', path };
  } catch (thrown) {
    if (!(thrown instanceof SysError)) throw thrown;
    if (thrown.errno === ENOENT || thrown.errno === ENOTDIR) return { kind: 'gone', path };
    // It may be mounted where this process cannot see it. Only the removal of the file is visible everywhere.
    const why = thrown instanceof NotNetnsError ? `no namespace is mounted at its netns ${path} here` : thrown.message;
    return { kind: 'unknown', why };
  }
}

/** All paths of a cached result must be gone. */
export function netnsStateOf(cached: CachedResult | undefined, look: (path: string) => NetnsState): NetnsState {
  const states = (cached?.netns ?? []).map(look);
  const telling = states.find(({ kind }) => kind === 'there') ?? states.find(({ kind }) => kind === 'unknown');
  return telling ?? states[0] ?? NOT_CACHED;
}
