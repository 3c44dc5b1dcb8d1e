// Address ranges of host-local: canonical form, checks and error texts (containernetworking/plugins
// plugins/ipam/host-local/backend/allocator/{range,range_set}.go).

import {
  addressBits,
  addToIp,
  broadcastOf,
  contains,
  formatIp,
  formatPrefix,
  type Ip,
  type IpPrefix,
  networkOf,
  parseIp,
  parsePrefix,
  sameIp,
} from '../../lib/ip.ts';
import { failure, withPrefix } from '../protocol/error.ts';
import { type Fields, stringField } from '../protocol/fields.ts';

/** Addresses from `start` to `end`, both included, of one subnet; the gateway is never allocated. */
export interface Range {
  readonly subnet: IpPrefix;
  readonly start: Ip;
  readonly end: Ip;
  readonly gateway: Ip;
}

/** One address is taken from each set; its ranges are of one family and do not overlap. */
export type RangeSet = readonly Range[];

function optionalIp(fields: Fields, key: string): Ip | undefined {
  const text = stringField(fields, key);
  return text === '' ? undefined : parseIp(text);
}

/** Throws for a subnet with host bits, or without room for a network, a broadcast address, a gateway and one more. */
function checkSubnet(subnet: IpPrefix): void {
  const network = networkOf(subnet);
  if (!sameIp(network.ip, subnet.ip)) {
    throw failure(
      `Network has host bits set. For a subnet mask of length ${subnet.length} the network address is ${formatIp(network.ip)}`,
    );
  }
  if (subnet.length > addressBits(subnet.ip.family) - 2) {
    throw failure(`Network ${formatPrefix(subnet)} too small to allocate from`);
  }
}

/** The last address of a range that names no end: for IPv4 not the broadcast address. */
function lastUsable(subnet: IpPrefix): Ip {
  const last = broadcastOf(subnet);
  return subnet.ip.family === 4 ? addToIp(last, -1) : last;
}

/** A range as it was written. */
export interface RawRange {
  readonly subnet: IpPrefix;
  readonly start: Ip | undefined;
  readonly end: Ip | undefined;
  readonly gateway: Ip | undefined;
}

/** Reads `{subnet, rangeStart, rangeEnd, gateway}`. Throws IpError for a text that is not an address. */
export function readRange(fields: Fields): RawRange {
  return {
    subnet: parsePrefix(stringField(fields, 'subnet')),
    start: optionalIp(fields, 'rangeStart'),
    end: optionalIp(fields, 'rangeEnd'),
    gateway: optionalIp(fields, 'gateway'),
  };
}

/** Checks a range and fills in what was left open. Throws CniError 999 with the Go plugin's texts. */
function completeRange(raw: RawRange): Range {
  const { subnet } = raw;
  checkSubnet(subnet);
  const start = raw.start ?? addToIp(subnet.ip, 1);
  const end = raw.end ?? lastUsable(subnet);
  const gateway = raw.gateway ?? addToIp(subnet.ip, 1);
  if (!contains(subnet, start) || (start.family === end.family && end.value < start.value)) {
    throw failure(`RangeStart ${formatIp(start)} not in network ${formatPrefix(subnet)}`);
  }
  if (!contains(subnet, end)) throw failure(`RangeEnd ${formatIp(end)} not in network ${formatPrefix(subnet)}`);
  return { subnet, start, end, gateway };
}

function rangeText(range: Range): string {
  return `${formatIp(range.start)}-${formatIp(range.end)}`;
}

export function rangeSetText(set: RangeSet): string {
  return set.map(rangeText).join(',');
}

export function inRange(range: Range, ip: Ip): boolean {
  return ip.family === range.start.family && ip.value >= range.start.value && ip.value <= range.end.value;
}

/** The range of the set that contains an address. */
export function rangeOf(set: RangeSet, ip: Ip): Range | undefined {
  return set.find((range) => inRange(range, ip));
}

function rangesOverlap(a: Range, b: Range): boolean {
  return a.start.family === b.start.family && a.start.value <= b.end.value && b.start.value <= a.end.value;
}

/** Checks the set at `index`. Throws CniError 999 `invalid range set <index>: …`. */
export function completeRangeSet(entries: readonly RawRange[], index: number): RangeSet {
  return withPrefix(`invalid range set ${index}: `, () => {
    const set = entries.map(completeRange);
    const [first] = set;
    if (first === undefined) throw failure('empty range set');
    if (set.some((range) => range.start.family !== first.start.family)) throw failure('mixed address families');
    set.forEach((range, at) => {
      const clash = set.slice(0, at).find((other) => rangesOverlap(range, other));
      if (clash !== undefined) throw failure(`subnets ${rangeText(clash)} and ${rangeText(range)} overlap`);
    });
    return set;
  });
}

/** Throws when two sets share an address. */
export function checkDistinctSets(sets: readonly RangeSet[]): void {
  sets.forEach((set, at) => {
    const clash = sets.slice(0, at).findIndex((other) => other.some((a) => set.some((b) => rangesOverlap(a, b))));
    if (clash >= 0) throw failure(`range set ${clash} overlaps with ${at}`);
  });
}
