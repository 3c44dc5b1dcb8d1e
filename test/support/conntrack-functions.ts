// Whether programs can use conntrack in this kernel: Linux 5.18 has the functions, and BTF says where they are.

import { existsSync } from 'node:fs';
import { release } from 'node:os';
import { needs } from './needs.ts';

const [major = 0, minor = 0] = release().split('.').map(Number);
export const hasConntrackFunctions =
  (major > 5 || (major === 5 && minor >= 18)) && existsSync('/sys/kernel/btf/vmlinux');

/** Skips the running test on a kernel without them. */
export function needConntrackFunctions(): void {
  needs.machine(hasConntrackFunctions, 'conntrack’s functions for programs, Linux 5.18');
}
