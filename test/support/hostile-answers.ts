// Tests that a query ends in a value or in an error that names the query, whatever bytes the kernel answers.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { fakeMessage, openFakeNetlink } from '../../lib/netlink/fake.ts';
import { NetlinkError } from '../../lib/netlink/request.ts';

export interface HostileQuestion {
  readonly name: string;
  /** The message type of a correct answer. */
  readonly type: number;
  readonly ask: (netlink: Netlink) => unknown;
  /** How errors name the query. */
  readonly text: string;
}

/** Attributes that look right: a known address family, small types, and lengths that mostly fit. */
const plausible = fc
  .tuple(
    fc.constantFrom(2, 7, 10, 0),
    fc.uint8Array({ minLength: 15, maxLength: 15 }),
    fc.array(fc.tuple(fc.nat(40), fc.uint8Array({ maxLength: 24 }), fc.constantFrom(0, 0, 0, 0, 1, 200)), {
      maxLength: 8,
    }),
  )
  .map(([family, struct, attributes]) => {
    const bytes = [family, ...struct];
    for (const [type, payload, lie] of attributes) {
      bytes.push((payload.length + 4 + lie) & 0xff, 0, type, 0, ...payload);
      while (bytes.length % 4 !== 0) bytes.push(0);
    }
    return Uint8Array.from(bytes);
  });

/** Declares the tests. A fake kernel answers each query with whatever bytes are given. */
export function surviveAnyAnswer(questions: readonly HostileQuestion[]): void {
  describe.for(questions)('$name', ({ type, ask, text }) => {
    test('survives any payload', () => {
      const payload = fc.oneof(plausible, fc.uint8Array({ maxLength: 120 }));
      fc.assert(
        fc.property(payload, (bytes) => {
          const { netlink } = openFakeNetlink((request, replies) => {
            replies.raw(
              fakeMessage({ type, flags: 2, seq: request.seq }, (writer) => {
                for (const byte of bytes) writer.u8(byte);
              }),
            );
          });
          expectSane(() => ask(netlink), text);
        }),
      );
    });

    test('survives any datagram', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
          const { netlink } = openFakeNetlink((_, replies) => replies.raw(bytes));
          expectSane(() => ask(netlink), text);
        }),
      );
    });
  });
}

/**
 * Accepts a value or an error of that query. The error may say that the answer contradicts itself, or that no answer belonged to
 * the query.
 */
function expectSane(ask: () => unknown, text: string): void {
  try {
    ask();
  } catch (error) {
    const { message } = error as Error;
    if (error instanceof NetlinkError) expect(message).toContain(`rtnetlink: ${text}: EPROTO (`);
    else expect(message).toBe(`rtnetlink: receive the answer to ${text}: ETIMEDOUT`);
  }
}
