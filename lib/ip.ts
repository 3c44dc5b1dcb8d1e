// IP addresses and prefixes: strict text (input by RFC 4291 §2.2, output by RFC 5952), bytes and arithmetic. This file imports
// nothing and computes nothing when it is loaded, because every pod's ADD loads it.

export type Family = 4 | 6;

/** One address; `value` is below 2^32 for IPv4 and below 2^128 for IPv6. */
export interface Ip {
  readonly family: Family;
  readonly value: bigint;
}

/** An address with a prefix length. Host bits are kept as written; `networkOf` clears them. */
export interface IpPrefix {
  readonly ip: Ip;
  readonly length: number;
}

/** Thrown for text or bytes that are not an address or prefix, and for arithmetic that leaves the address space. */
export class IpError extends Error {
  override readonly name = 'IpError';
}

/** 32 or 128. */
export function addressBits(family: Family): number {
  return family === 4 ? 32 : 128;
}

const ZERO = 48;
const COLON = 58;

/** Returns the decimal number in `text`: digits only, no leading zero, at most `max`. Returns −1 for any other text. */
function parseDecimal(text: string, max: number): number {
  const value = Number(text);
  // The number written out again must be equal to the text. This excludes signs, blanks, exponents, points and 0x.
  return value >= 0 && value <= max && `${value}` === text ? value : -1;
}

/** Returns the dotted quad `text` as an unsigned 32-bit number, and −1 for any other text. No part may have a leading zero. */
function parseQuad(text: string): number {
  const parts = text.split('.', 5);
  if (parts.length !== 4) return -1;
  let value = 0;
  for (let at = 0; at < 4; at++) {
    const part = parseDecimal(parts[at] ?? '', 255);
    if (part < 0) return -1;
    value = value * 256 + part;
  }
  return value;
}

function hexDigit(code: number): number {
  if (code >= ZERO && code <= 57) return code - ZERO;
  const lower = code | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** Appends the 16-bit groups of text[from, to) to `groups`; false when it is not a list of groups. */
function parseGroups(text: string, from: number, to: number, quadAllowed: boolean, groups: number[]): boolean {
  let at = from;
  while (at < to) {
    const start = at;
    let value = 0;
    while (at < to && text.charCodeAt(at) !== COLON) {
      const digit = hexDigit(text.charCodeAt(at));
      if (digit < 0) return quadAllowed && pushQuad(parseQuad(text.slice(start, to)), groups);
      value = value * 16 + digit;
      at++;
    }
    if (at === start || at - start > 4 || groups.length === 8) return false;
    groups.push(value);
    if (at === to) return true;
    at++; // behind the colon
  }
  return false; // empty, or ends with a colon
}

function pushQuad(quad: number, groups: number[]): boolean {
  if (quad < 0) return false;
  groups.push(quad >>> 16, quad & 0xffff);
  return true;
}

/** Returns the IPv6 address in text[0, to); undefined when there is none. */
function parse6(text: string, to: number): bigint | undefined {
  const groups: number[] = [];
  const gap = text.indexOf('::');
  if (gap < 0 || gap >= to) {
    if (!parseGroups(text, 0, to, true, groups) || groups.length !== 8) return undefined;
    return groupsToValue(groups);
  }
  if (gap > 0 && !parseGroups(text, 0, gap, false, groups)) return undefined;
  const tail: number[] = [];
  if (gap + 2 < to && !parseGroups(text, gap + 2, to, true, tail)) return undefined;
  // "::" must stand for at least one group (RFC 4291 §2.2: "one or more").
  if (groups.length + tail.length > 7) return undefined;
  while (groups.length + tail.length < 8) groups.push(0);
  return groupsToValue(groups.concat(tail));
}

function groupsToValue(groups: readonly number[]): bigint {
  let value = 0n;
  for (let at = 0; at < 8; at += 2) {
    value = (value << 32n) | BigInt((groups[at] ?? 0) * 65536 + (groups[at + 1] ?? 0));
  }
  return value;
}

/** Returns the address in text[0, to); undefined when there is none. */
function parseRange(text: string, to: number): Ip | undefined {
  if (to > 45) return undefined; // the longest form: 6 full groups and a dotted quad
  const colon = text.indexOf(':');
  if (colon >= 0 && colon < to) {
    const value = parse6(text, to);
    return value === undefined ? undefined : { family: 6, value };
  }
  const value = parseQuad(text.slice(0, to));
  return value < 0 ? undefined : { family: 4, value: BigInt(value) };
}

/**
 * Error messages quote the input, shortened and without control characters, because hostile text must neither fill a log nor
 * control a terminal.
 */
function shown(text: string): string {
  let out = '';
  for (let at = 0; at < text.length; at++) {
    if (at === 64) return `${out}…`;
    const code = text.charCodeAt(at);
    out += code < 32 || code === 127 ? '?' : text[at];
  }
  return out;
}

/**
 * Parses an address. Throws IpError `invalid IP address: <text>` for anything except four plain octets or a form of RFC 4291.
 * Leading zeros in octets, zones and blanks are refused. An IPv4-mapped address (`::ffff:1.2.3.4`) stays an IPv6 address and never
 * equals the IPv4 one (Go's net.ParseIP makes them equal); `isMapped4` recognises it.
 */
export function parseIp(text: string): Ip {
  const ip = parseRange(text, text.length);
  if (ip === undefined) throw new IpError(`invalid IP address: ${shown(text)}`);
  return ip;
}

/** Parses `address/length`, throwing IpError `invalid CIDR address: <text>`; host bits are kept. */
export function parsePrefix(text: string): IpPrefix {
  const slash = text.indexOf('/');
  const ip = slash < 0 ? undefined : parseRange(text, slash);
  if (ip !== undefined) {
    const length = parseDecimal(text.slice(slash + 1), addressBits(ip.family));
    if (length >= 0) return { ip, length };
  }
  throw new IpError(`invalid CIDR address: ${shown(text)}`);
}

function formatQuad(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

/** The eight 16-bit groups, most significant first. */
function groupsOf(value: bigint): number[] {
  const groups: number[] = [];
  for (let shift = 96n; shift >= 0n; shift -= 32n) {
    const word = Number(BigInt.asUintN(32, value >> shift));
    groups.push(word >>> 16, word & 0xffff);
  }
  return groups;
}

/** First longest run of at least two zero groups as [start, length]; length 0 when there is none. */
function longestZeroRun(groups: readonly number[]): readonly [number, number] {
  let best = 0;
  let bestLength = 1; // RFC 5952 §4.2.2: a single zero group is not shortened
  let run = 0;
  for (let at = 0; at < 8; at++) {
    run = groups[at] === 0 ? run + 1 : 0;
    if (run > bestLength) {
      bestLength = run;
      best = at + 1 - run;
    }
  }
  return bestLength > 1 ? [best, bestLength] : [0, 0];
}

function joinGroups(groups: readonly number[], from: number, to: number): string {
  let text = '';
  for (let at = from; at < to; at++) text += (at > from ? ':' : '') + (groups[at] ?? 0).toString(16);
  return text;
}

/** Canonical text: dotted quad, or RFC 5952 (lower case, first longest zero run; IPv4-mapped with a dotted quad, §5). */
export function formatIp(ip: Ip): string {
  if (ip.family === 4) return formatQuad(Number(ip.value));
  if (isMapped4(ip)) return `::ffff:${formatQuad(Number(BigInt.asUintN(32, ip.value)))}`;
  const groups = groupsOf(ip.value);
  const [start, length] = longestZeroRun(groups);
  if (length === 0) return joinGroups(groups, 0, 8);
  return `${joinGroups(groups, 0, start)}::${joinGroups(groups, start + length, 8)}`;
}

/** `address/length` with host bits as they are. */
export function formatPrefix(prefix: IpPrefix): string {
  return `${formatIp(prefix.ip)}/${prefix.length}`;
}

/** The address in 4 or 16 bytes of network order; throws IpError for another length. */
export function ipFromBytes(bytes: Uint8Array): Ip {
  if (bytes.length !== 4 && bytes.length !== 16) {
    throw new IpError(`invalid IP address: ${bytes.length} bytes, expected 4 or 16`);
  }
  let value = 0n;
  for (let at = 0; at < bytes.length; at += 4) {
    const high = (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0);
    value = (value << 32n) | BigInt(high * 65536 + (bytes[at + 2] ?? 0) * 256 + (bytes[at + 3] ?? 0));
  }
  return { family: bytes.length === 4 ? 4 : 6, value };
}

/** Returns 4 or 16 bytes in network order, in a new array. */
export function ipToBytes(ip: Ip): Uint8Array {
  const bytes = new Uint8Array(ip.family === 4 ? 4 : 16);
  let rest = ip.value;
  for (let at = bytes.length - 4; at >= 0; at -= 4) {
    const word = Number(BigInt.asUintN(32, rest));
    bytes[at] = word >>> 24;
    bytes[at + 1] = word >>> 16;
    bytes[at + 2] = word >>> 8;
    bytes[at + 3] = word;
    rest >>= 32n;
  }
  return bytes;
}

export function sameIp(a: Ip, b: Ip): boolean {
  return a.family === b.family && a.value === b.value;
}

/** Compares for sorting: all of IPv4 comes before IPv6, and then the value decides. */
export function compareIp(a: Ip, b: Ip): number {
  if (a.family !== b.family) return a.family - b.family;
  if (a.value === b.value) return 0;
  return a.value < b.value ? -1 : 1;
}

/** Returns the address `n` further on (or back, when `n` is negative). Throws IpError when this leaves the address space. */
export function addToIp(ip: Ip, n: bigint | number): Ip {
  const value = ip.value + BigInt(n);
  if (value < 0n || value >> BigInt(addressBits(ip.family)) !== 0n) {
    throw new IpError(`address out of range: ${formatIp(ip)} ${n < 0 ? '-' : '+'} ${n < 0 ? -n : n}`);
  }
  return { family: ip.family, value };
}

function hostBits(prefix: IpPrefix): bigint {
  return BigInt(addressBits(prefix.ip.family) - prefix.length);
}

/** The prefix with its host bits cleared. */
export function networkOf(prefix: IpPrefix): IpPrefix {
  const bits = hostBits(prefix);
  const value = (prefix.ip.value >> bits) << bits;
  return value === prefix.ip.value ? prefix : { ip: { family: prefix.ip.family, value }, length: prefix.length };
}

/** The last address of the prefix (the broadcast address in IPv4, where the prefix is shorter than /31). */
export function broadcastOf(prefix: IpPrefix): Ip {
  const bits = hostBits(prefix);
  return { family: prefix.ip.family, value: prefix.ip.value | ((1n << bits) - 1n) };
}

/** Whether `ip` lies in `prefix`; an address of the other family never does. */
export function contains(prefix: IpPrefix, ip: Ip): boolean {
  if (prefix.ip.family !== ip.family) return false;
  const bits = hostBits(prefix);
  return prefix.ip.value >> bits === ip.value >> bits;
}

/** Whether every address of `inner` lies in `outer` (a prefix contains itself). */
export function containsPrefix(outer: IpPrefix, inner: IpPrefix): boolean {
  return inner.length >= outer.length && contains(outer, inner.ip);
}

/** Whether the two have an address in common. */
export function overlaps(a: IpPrefix, b: IpPrefix): boolean {
  return a.length <= b.length ? contains(a, b.ip) : contains(b, a.ip);
}

/** Compares as written: host bits count, as they do in an interface address. */
export function samePrefix(a: IpPrefix, b: IpPrefix): boolean {
  return a.length === b.length && sameIp(a.ip, b.ip);
}

/** `ip/32` or `ip/128`. */
export function hostPrefix(ip: Ip): IpPrefix {
  return { ip, length: addressBits(ip.family) };
}

export function isUnspecified(ip: Ip): boolean {
  return ip.value === 0n;
}

/** 127.0.0.0/8 or ::1. */
export function isLoopback(ip: Ip): boolean {
  return ip.family === 4 ? ip.value >> 24n === 127n : ip.value === 1n;
}

/** 224.0.0.0/4 or ff00::/8. */
export function isMulticast(ip: Ip): boolean {
  return ip.family === 4 ? ip.value >> 28n === 14n : ip.value >> 120n === 0xffn;
}

/** 169.254.0.0/16 or fe80::/10. */
export function isLinkLocal(ip: Ip): boolean {
  return ip.family === 4 ? ip.value >> 16n === 0xa9fen : ip.value >> 118n === 0x3fan;
}

/** Whether it is in ::ffff:0:0/96, an IPv4 address written as an IPv6 one. No packet on a wire should carry such an address. */
export function isMapped4(ip: Ip): boolean {
  return ip.family === 6 && ip.value >> 32n === 0xffffn;
}
