// ICMP errors in words: RFC 792, RFC 1812 §5.2.7, RFC 4443.

import { type Family, type Ip, sameIp } from '../../lib/ip.ts';
import type { Bounce } from '../../lib/sys/datagram.ts';
import { errnoName } from '../../lib/sys/errno.ts';
import type { Reply } from './ask.ts';

const UNREACHABLE: Readonly<Record<Family, Readonly<Record<number, string>>>> = {
  4: {
    0: 'net unreachable',
    1: 'host unreachable',
    2: 'protocol unreachable',
    3: 'port unreachable',
    4: 'fragmentation needed',
    9: 'net administratively prohibited',
    10: 'host administratively prohibited',
    13: 'communication administratively prohibited',
  },
  6: {
    0: 'no route',
    1: 'administratively prohibited',
    3: 'address unreachable',
    4: 'port unreachable',
    5: 'source address failed policy',
    6: 'route rejected',
  },
};
const TYPES = { 4: { unreachable: 3, expired: 11, tooBig: undefined }, 6: { unreachable: 1, expired: 3, tooBig: 2 } };
/** The code by which this node's own kernel reports that nobody answered ARP or neighbour discovery. */
const NOBODY_THERE: Readonly<Record<Family, number>> = { 4: 1, 6: 3 };

/** What an error on a socket means for the probe, unless it reports a closed port. */
export function bounceReply({ to, isIcmp, type, code, by, errno }: Bounce, local: Ip): Reply {
  if (!isIcmp) return { kind: 'unsent', code: errnoName(errno) };
  const { unreachable, expired, tooBig } = TYPES[to.family];
  if (type === expired) return { kind: 'expired', by };
  if (type === tooBig) return { kind: 'error', what: 'packet too big', by };
  if (type !== unreachable) return { kind: 'error', what: `ICMP type ${type} code ${code}`, by };
  const isOwn = by !== undefined && sameIp(by, local);
  if (isOwn && code === NOBODY_THERE[to.family]) return { kind: 'no-neighbour' };
  return { kind: 'error', what: UNREACHABLE[to.family][code] ?? `unreachable, code ${code}`, by };
}
