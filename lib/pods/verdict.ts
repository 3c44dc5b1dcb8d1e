// Whether whoever holds something on a node is dead. Death is proven only by what is absent, never by an id or a time: the
// netns it was given is gone and no port is left that could be its, or everything on the node that could be its (ports of
// the bridge, pinned namespaces, running ADDs) is explained by others. Whatever is doubtful is kept, with the reason.
// The CNI executable asks when a range is exhausted, the agent at its start and for `flanneld gc`.

import { ENOENT, ENOTDIR } from '../sys/errno.ts';
import { closeFd } from '../sys/file.ts';
import { NotNetnsError, openNetns } from '../sys/netns.ts';
import { SysError } from '../sys/sys-error.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import type { CachedResult } from './cached-result.ts';
import type { Unexplained } from './unexplained.ts';

/** What is known of the netns an attachment was given. */
export type NetnsState =
  | { readonly kind: 'there' | 'gone'; readonly path: string }
  /** `why`: nobody has said which netns it was, or it cannot be determined whether it exists. */
  | { readonly kind: 'unknown'; readonly why: string };

export interface Facts {
  /** Whom an address file names, `<container>\r\n<interface>`; '' when its ADD was killed before it wrote the name. */
  readonly owner: string;
  readonly netns: NetnsState;
  /** Whether its ADD is running. Then it may not have a port yet. */
  readonly isBeingAdded: boolean;
  /** Whether a running ADD of it could be invisible: flannel's own plugin saves its file first and takes no lock. */
  readonly mayBeAddedUnseen: boolean;
}

/** What is known of the node. */
export interface Surroundings extends Unexplained {
  readonly bridge: string;
  /** Whether every pod of the network has a port of the bridge. Where not, only a netns that is gone proves anything. */
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

/** Whom nothing else needs to be known of: undefined when the node must be looked at. Pure. */
export function judgeAlone({ netns, isBeingAdded }: Pick<Facts, 'netns' | 'isBeingAdded'>): Verdict | undefined {
  if (isBeingAdded) return kept('its ADD is running');
  return netns.kind === 'there' ? kept(`its netns ${netns.path} is there`) : undefined;
}

/** Pure. `findSign` says what shows that it lives, its addresses included; it is asked only where nothing simpler tells. */
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

/** What cannot be seen is mentioned once, although it hides both the netns and the others. */
function joined(suspicion: string, doubt: string): string {
  return doubt === suspicion ? doubt : `${suspicion}, but ${doubt}`;
}

function proofOf({ owner, netns }: Facts, suspicion: string): string {
  const isEnough = owner === '' || netns.kind === 'gone';
  return isEnough ? suspicion : 'every port and every pinned netns of this node is another’s';
}

/** Returns why it may still live; undefined when it cannot. */
function doubtAbout({ owner, netns, mayBeAddedUnseen }: Facts, node: Surroundings): string | undefined {
  const { isBridged, blind, pins } = node;
  if (!isBridged) return netns.kind === 'gone' ? undefined : suspicionWithoutPorts(netns);
  const port = portDoubt(node);
  if (port !== undefined) return port;
  // Its port would still exist, because processes may hold a namespace that has no name any more.
  if (netns.kind === 'gone') return undefined;
  // An address without a name was never given to a pod: whoever writes the name holds the lock we hold.
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

/** Looks whether a path is a namespace. Whatever cannot be told for certain is unknown. */
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
    // It may be mounted where this process does not see it. Only the removal of the file is visible everywhere.
    const why = thrown instanceof NotNetnsError ? `no namespace is mounted at its netns ${path} here` : thrown.message;
    return { kind: 'unknown', why };
  }
}

/** Of all paths a cached result has: all must be gone. */
export function netnsStateOf(cached: CachedResult | undefined, look: (path: string) => NetnsState): NetnsState {
  const states = (cached?.netns ?? []).map(look);
  const telling = states.find(({ kind }) => kind === 'there') ?? states.find(({ kind }) => kind === 'unknown');
  return telling ?? states[0] ?? NOT_CACHED;
}
