// How many connections the kernel tracks, and how many it can.

import { readFileSync } from 'node:fs';

/** Undefined where connections are not tracked. */
export function readTracked(): { readonly count: number; readonly max: number } | undefined {
  const [count, max] = ['nf_conntrack_count', 'nf_conntrack_max'].map(readNumber);
  return count === undefined || max === undefined ? undefined : { count, max };
}

function readNumber(name: string): number | undefined {
  try {
    const value = Number(readFileSync(`/proc/sys/net/netfilter/${name}`, 'utf8'));
    return Number.isFinite(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
