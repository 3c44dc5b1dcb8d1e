// A netlink connection that counts the messages sent over it.

import type { Netlink } from '../../lib/netlink/connection.ts';

export interface Counted {
  /** Messages that change something in the kernel. */
  changes: number;
  /** Requests for information, including dumps of whole tables. */
  questions: number;
}

/** The connection, and its counts so far, which the caller may set to 0. */
export function countingNetlink(netlink: Netlink): { netlink: Netlink; counted: Counted } {
  const counted: Counted = { changes: 0, questions: 0 };
  return {
    counted,
    netlink: {
      run(request) {
        counted.changes++;
        netlink.run(request);
      },
      execute(requests, onReply) {
        counted.changes += requests.length;
        return netlink.execute(requests, onReply);
      },
      get(request, parse, absent) {
        counted.questions++;
        return netlink.get(request, parse, absent);
      },
      dump(request, parse, absent) {
        counted.questions++;
        return netlink.dump(request, parse, absent);
      },
      close: () => netlink.close(),
    },
  };
}
