// The interface through which everything in lib reaches the kernel: one generic system call and the
// arena. Two bindings implement it: koffi.ts (Node) and host.ts (the CNI executable's QuickJS host).

import type { Arena } from './arena.ts';
import type { Arch, ArchFlags, SyscallNumbers } from './numbers.ts';

export interface Syscalls {
  readonly arch: Arch;
  readonly arena: Arena;
  /** System call numbers of this architecture, by name. */
  readonly nr: SyscallNumbers;
  /** Those flags whose value differs between architectures. */
  readonly flags: ArchFlags;
  /**
   * Makes one system call and returns its value, or −errno. Pointers are `slot.address` of arena slots and nothing else; absent arguments
   * are 0. Blocks as long as the kernel does.
   */
  call(nr: number, a?: number, b?: number, c?: number, d?: number, e?: number, f?: number): number;
  /**
   * Duplicates the process: returns the child's id in the parent, 0 in the child, or −errno. Only an engine with a single thread can
   * continue after it; the Node binding throws.
   */
  fork(): number;
  /**
   * Makes one system call in a child that first closes descriptors 0 to 2 and `close` (−1: none), and ends with the call: for calls that
   * take the kernel long. Returns the child's id, or −errno. The child shares our memory, so what the call points to must be kept for good
   * (`arena.keep`). Cheaper than `fork`, after which pages of both sides are copied when they are written. At most four in a process; the
   * Node binding throws.
   */
  detach(close: number, nr: number, a?: number, b?: number, c?: number, d?: number, e?: number, f?: number): number;
}
