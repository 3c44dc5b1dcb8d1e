// Whatever bytes answer a question, the result is a list or an error that names the question.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseIp } from '../ip.ts';
import type { Netlink } from '../netlink/connection.ts';
import { fakeMessage, openFakeNetlink } from '../netlink/fake.ts';
import { NetlinkError } from '../netlink/request.ts';
import { listAddresses } from './address.ts';
import { RTM_NEWADDR, RTM_NEWLINK, RTM_NEWNEIGH, RTM_NEWNEXTHOP, RTM_NEWROUTE } from './constants.ts';
import { listFdb } from './fdb.ts';
import { getLink, listLinks } from './link.ts';
import { listNeighs } from './neigh.ts';
import { listNexthops } from './nexthop.ts';
import { getRoute, listRoutes } from './route.ts';

const QUESTIONS = [
  { name: 'listLinks', type: RTM_NEWLINK, ask: (n: Netlink) => listLinks(n), text: 'list links' },
  { name: 'getLink', type: RTM_NEWLINK, ask: (n: Netlink) => getLink(n, { name: 'x' }), text: 'get link x' },
  { name: 'listAddresses', type: RTM_NEWADDR, ask: (n: Netlink) => listAddresses(n), text: 'list addresses' },
  {
    name: 'listNeighs',
    type: RTM_NEWNEIGH,
    ask: (n: Netlink) => listNeighs(n, { index: 1 }),
    text: 'list neighs dev if1',
  },
  { name: 'listFdb', type: RTM_NEWNEIGH, ask: (n: Netlink) => listFdb(n, { index: 1 }), text: 'list fdb dev if1' },
  { name: 'listNexthops', type: RTM_NEWNEXTHOP, ask: (n: Netlink) => listNexthops(n), text: 'list nexthops' },
  {
    name: 'listRoutes',
    type: RTM_NEWROUTE,
    ask: (n: Netlink) => listRoutes(n, { family: 4 }),
    text: 'list IPv4 routes',
  },
  {
    name: 'getRoute',
    type: RTM_NEWROUTE,
    ask: (n: Netlink) => getRoute(n, parseIp('10.0.0.1')),
    text: 'get route to 10.0.0.1',
  },
];

/** Attributes that look right: a known family, small types, lengths that mostly fit. */
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

describe.for(QUESTIONS)('$name', ({ type, ask, text }) => {
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

/** A value, or an error of that question: an answer that contradicts itself, or none that was for us. */
function expectSane(ask: () => unknown, text: string): void {
  try {
    ask();
  } catch (error) {
    const { message } = error as Error;
    if (error instanceof NetlinkError) expect(message).toContain(`rtnetlink: ${text}: EPROTO (`);
    else expect(message).toBe(`rtnetlink: receive the answer to ${text}: ETIMEDOUT`);
  }
}
