// Events that tell the agent of its own changes: each would be a reason to read thousands of objects again and find
// them as they were written. An event is passed over only when it says exactly what was last asked for that object; what
// anybody else does differs, or comes after.

import { formatIp, formatPrefix, type Ip } from '../../lib/ip.ts';
import type { MessageReader } from '../../lib/netlink/reader.ts';
import {
  NTF_SELF,
  NUD_PERMANENT,
  RT_TABLE_MAIN,
  RTM_DELNEIGH,
  RTM_DELNEXTHOP,
  RTM_DELROUTE,
  RTM_NEWNEIGH,
  RTM_NEWNEXTHOP,
  RTM_NEWROUTE,
  RTN_UNICAST,
  RTNH_F_ONLINK,
} from '../../lib/rtnetlink/constants.ts';
import { decodeFdb } from '../../lib/rtnetlink/fdb.ts';
import { decodeNeigh } from '../../lib/rtnetlink/neigh.ts';
import { decodeNexthop } from '../../lib/rtnetlink/nexthop.ts';
import { decodeRoute } from '../../lib/rtnetlink/route-message.ts';
import { hasDefaultMetric } from './diff.ts';
import { type Change, WEFT_PROTOCOL } from './state.ts';

/** After more changes at once than this, looking again costs little beside making them. */
const MOST = 64;
/** What is remembered at most, of several runs. */
const KEPT = 4 * MOST;
const GONE = 'gone';

/** An object, and how it is; or GONE. */
type Saying = readonly [object: string, state: string];

export class Echoes {
  readonly #asked = new Map<string, string>();

  /** Call with what the kernel is about to be asked for. */
  expect(changes: readonly Change[]): void {
    if (changes.length > MOST || this.#asked.size > KEPT) this.#asked.clear();
    if (changes.length > MOST) return;
    for (const change of changes) {
      const [object, state] = sayingOf(change);
      this.#asked.set(object, state);
    }
  }

  /** Whether an event about the device `index` only repeats what was asked for. Throws MalformedReply. */
  isEcho(message: MessageReader, index: number): boolean {
    if (this.#asked.size === 0) return false;
    const said = heard(message, index);
    return said !== undefined && this.#asked.get(said[0]) === said[1];
  }
}

function sayingOf({ kind, want, have }: Change): Saying {
  switch (kind) {
    case 'neigh':
      return [`neigh ${formatIp((want ?? present(have)).destination)}`, want === undefined ? GONE : want.mac];
    case 'fdb':
      return [`fdb ${(want ?? present(have)).mac}`, want === undefined ? GONE : formatIp(want.destination)];
    case 'nexthop':
      return [`nexthop ${(want ?? present(have)).id}`, want === undefined ? GONE : formatIp(want.gateway)];
    case 'route': {
      const { destination } = want ?? present(have);
      return [`route ${formatPrefix(destination)}`, want === undefined ? GONE : hopOf(want)];
    }
  }
}

function present<T>(have: T | undefined): T {
  if (have === undefined) throw new Error('a change that neither wants nor has an object');
  return have;
}

function hopOf({ nexthopId, gateway }: { readonly nexthopId?: number; readonly gateway?: Ip }): string {
  return nexthopId === undefined ? `via ${gateway && formatIp(gateway)}` : `nhid ${nexthopId}`;
}

/** What an event says of one of our objects; undefined where there is more to it than ours have. */
function heard(message: MessageReader, index: number): Saying | undefined {
  switch (message.type) {
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return heardNeigh(message, index) ?? heardFdb(message, index);
    case RTM_NEWNEXTHOP:
    case RTM_DELNEXTHOP:
      return heardNexthop(message, index);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return heardRoute(message, index);
    default:
      return undefined;
  }
}

function heardNeigh(message: MessageReader, index: number): Saying | undefined {
  const neigh = decodeNeigh(message);
  if (neigh === undefined || neigh.index !== index) return undefined;
  // One that is deleted is told of as failed first.
  const isOurs = message.type === RTM_NEWNEIGH && neigh.state === NUD_PERMANENT;
  return [`neigh ${formatIp(neigh.destination)}`, (isOurs && neigh.mac) || GONE];
}

function heardFdb(message: MessageReader, index: number): Saying | undefined {
  const entry = decodeFdb(message);
  if (entry === undefined || entry.index !== index || entry.flags !== NTF_SELF) return undefined;
  const { mac, state, destination, port, vni, nexthopId } = entry;
  if (message.type === RTM_DELNEIGH) return [`fdb ${mac}`, GONE];
  const isPlain = state === NUD_PERMANENT && port === undefined && vni === undefined && nexthopId === undefined;
  return isPlain && destination !== undefined ? [`fdb ${mac}`, formatIp(destination)] : undefined;
}

function heardNexthop(message: MessageReader, index: number): Saying | undefined {
  const { id, oif, protocol, gateway, flags } = decodeNexthop(message);
  if (oif !== index || protocol !== WEFT_PROTOCOL) return undefined;
  if (message.type === RTM_DELNEXTHOP) return [`nexthop ${id}`, GONE];
  return gateway !== undefined && flags === RTNH_F_ONLINK ? [`nexthop ${id}`, formatIp(gateway)] : undefined;
}

function heardRoute(message: MessageReader, index: number): Saying | undefined {
  const route = decodeRoute(message);
  if (route === undefined || route.oif !== index || route.table !== RT_TABLE_MAIN) return undefined;
  if (route.protocol !== WEFT_PROTOCOL || route.type !== RTN_UNICAST || !hasDefaultMetric(route)) return undefined;
  const object = `route ${formatPrefix(route.destination)}`;
  if (message.type === RTM_DELROUTE) return [object, GONE];
  return route.prefSrc === undefined && route.mtu === undefined ? [object, hopOf(route)] : undefined;
}
