// Whether whoever holds something on a node is provably dead. Dead means: the runtime's cached result names a netns that
// is no namespace any more, or everything of it is of an earlier boot, or it names nobody; and nothing on the bridge
// carries its MAC or address. Anything less is kept. The CNI executable asks when a range is exhausted, the agent at
// its start and for `flanneld gc`.

import { ENOENT, ENOTDIR } from '../sys/errno.ts';
import { closeFd } from '../sys/file.ts';
import { NotNetnsError, openNetns } from '../sys/netns.ts';
import { SysError } from '../sys/sys-error.ts';
import type { Syscalls } from '../sys/syscalls.ts';

/** What is known of the netns an attachment was given. */
export type NetnsState =
  | { readonly kind: 'there' | 'gone'; readonly path: string }
  /** `why`: nobody has said which it was, or it cannot be looked at from here. */
  | { readonly kind: 'unknown'; readonly why: string };

export interface Facts {
  /** Who an address file names, `<container>\r\n<interface>`; '' when its ADD was killed before it wrote. */
  readonly owner: string;
  readonly netns: NetnsState;
  /** Whether everything of it was made before this boot. */
  readonly isOfEarlierBoot: boolean;
}

export interface Verdict {
  readonly isDead: boolean;
  readonly why: string;
}

export const NOT_CACHED = {
  kind: 'unknown',
  why: 'the runtime’s cache does not say which netns it has',
} as const satisfies NetnsState;

/** Pure. `lookForSign` is asked only where the rest says dead: it costs a look at the kernel. */
export function judge(facts: Facts, lookForSign: () => string | undefined): Verdict {
  const { isDead, why } = suspect(facts);
  const sign = isDead ? lookForSign() : undefined;
  return sign === undefined ? { isDead, why } : { isDead: false, why: `${why}, but ${sign}` };
}

function suspect({ owner, netns, isOfEarlierBoot }: Facts): Verdict {
  if (owner === '') return { isDead: true, why: 'it names nobody: its ADD was killed' };
  if (netns.kind === 'gone') return { isDead: true, why: `its netns ${netns.path} is gone` };
  // A number of a process is given to another one after a boot; a name of ip-netns(8)'s kind is not.
  if (netns.kind === 'there' && !(isOfEarlierBoot && netns.path.startsWith('/proc/'))) {
    return { isDead: false, why: `its netns ${netns.path} is there` };
  }
  if (isOfEarlierBoot) return { isDead: true, why: 'it is of an earlier boot' };
  return { isDead: false, why: netns.kind === 'unknown' ? netns.why : '' };
}

/** Looks whether a path is a namespace. Whatever cannot be told for certain is unknown. */
export function lookAtNetns(sys: Syscalls, path: string): NetnsState {
  try {
    closeFd(sys, openNetns(sys, path));
    return { kind: 'there', path };
  } catch (thrown) {
    if (!(thrown instanceof SysError)) throw thrown;
    const isGone = thrown instanceof NotNetnsError || thrown.errno === ENOENT || thrown.errno === ENOTDIR;
    return isGone ? { kind: 'gone', path } : { kind: 'unknown', why: thrown.message };
  }
}
