// poll(2) in a thread of libuv's pool, for descriptors that no API of Node's can watch. The caller cannot use poll's
// result, because its errno belongs to that thread.

import koffi from 'koffi';
import type { Slot } from './arena.ts';
import { POLLIN } from './socket.ts';
import type { Syscalls } from './syscalls.ts';

export type AsyncPoll = (pollfds: number, count: number, timeoutMs: number) => Promise<number>;

export function loadPoll(): AsyncPoll {
  const poll = koffi.load('libc.so.6').func('int poll(int64_t fds, uint64_t nfds, int timeout)');
  return (pollfds, count, timeoutMs) =>
    new Promise((resolve, reject) => {
      poll.async(pollfds, count, timeoutMs, (error: unknown, ready: number) => {
        if (error === null || error === undefined) resolve(ready);
        else reject(error);
      });
    });
}

/** struct pollfd {s32 fd, s16 events, s16 revents} of each, which the pool's thread reads as long as it polls. */
export function pollfdsFor(sys: Syscalls, ...fds: number[]): Slot {
  const slot = sys.arena.keep(8 * fds.length);
  for (const [index, fd] of fds.entries()) {
    slot.setI32(8 * index, fd);
    slot.setU16(8 * index + 4, POLLIN);
  }
  return slot;
}
