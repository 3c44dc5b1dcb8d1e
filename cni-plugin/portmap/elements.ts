// A mapping as elements of the maps of layout.ts: its destination, and the chain that marks its packets.

import { type Family, formatIp, type Ip, ipFromBytes, ipToBytes } from '../../lib/ip.ts';
import type { SetElement, SetRef } from '../../lib/netfilter/elements.ts';
import { markChain, type Names, type Need, TABLE } from './layout.ts';
import { type Mapping, mappingsOf, type Protocol } from './portmap-config.ts';

/** The two places of one mapping: the same key in two maps. */
export interface Place {
  readonly dnat: SetRef;
  readonly mark: SetRef;
  readonly key: Uint8Array;
  /** The key in nft's syntax: `tcp . 8080`. */
  readonly spelled: string;
}

/** The data that must be at a place. */
export interface Wanted extends Place {
  readonly element: SetElement;
  readonly marking: SetElement | undefined;
}

/** The address and port to which an element of a dnat map leads. */
export interface Destination {
  readonly ip: Ip;
  readonly port: number;
}

function protocolNumber(protocol: Protocol): number {
  return protocol === 'tcp' ? 6 : protocol === 'udp' ? 17 : 132;
}

/** Each part padded to four bytes: [address,] protocol, port in network order. */
function encodeKey({ protocol, hostPort, hostIp }: Mapping): Uint8Array {
  const address = hostIp === undefined ? new Uint8Array(0) : ipToBytes(hostIp);
  const key = new Uint8Array(address.length + 8);
  key.set(address);
  key[address.length] = protocolNumber(protocol);
  key[address.length + 4] = hostPort >> 8;
  key[address.length + 5] = hostPort;
  return key;
}

function encodeDestination(ip: Ip, port: number): Uint8Array {
  const address = ipToBytes(ip);
  const data = new Uint8Array(address.length + 4);
  data.set(address);
  data[address.length] = port >> 8;
  data[address.length + 1] = port;
  return data;
}

/** The destination of the element; undefined if it is not from a dnat map. */
export function destinationOf(element: SetElement): Destination | undefined {
  const { data } = element;
  if (!(data instanceof Uint8Array) || (data.length !== 8 && data.length !== 20)) return undefined;
  const at = data.length - 4;
  return { ip: ipFromBytes(data.subarray(0, at)), port: ((data[at] ?? 0) << 8) | (data[at + 1] ?? 0) };
}

/** The UDP port of the host in a key; undefined for another protocol. */
export function udpPortOf(key: Uint8Array): number | undefined {
  const at = key.length - 8;
  return key[at] === 17 ? ((key[at + 4] ?? 0) << 8) | (key[at + 5] ?? 0) : undefined;
}

/** The two maps of a mapping, found by its dnat map, with the key. */
export function placeIn(dnat: string, key: Uint8Array, spelled: string): Place {
  const mark = `mark${dnat.slice('dnat'.length)}`;
  return { dnat: { table: TABLE, set: dnat }, mark: { table: TABLE, set: mark }, key, spelled };
}

function placeOf(names: Names, mapping: Mapping): Place {
  const { protocol, hostPort, hostIp } = mapping;
  const port = `${protocol} . ${hostPort}`;
  const spelled = hostIp === undefined ? port : `${formatIp(hostIp)} . ${port}`;
  return placeIn(hostIp === undefined ? names.dnat : names.dnatHost, encodeKey(mapping), spelled);
}

/** The places of a family's mappings, whether or not they have an element. */
export function placesOf(names: Names, mappings: readonly Mapping[]): Place[] {
  return mappings.map((mapping) => placeOf(names, mapping));
}

/** All wanted elements; of two mappings for one port the first counts. */
export function wantedElements(needs: readonly Need[], comment: string): Wanted[] {
  const wanted = new Map<string, Wanted>();
  for (const need of needs) {
    const { names, config, container } = need;
    const jump = markChain(config, container);
    for (const mapping of mappingsOf(config, familyOf(need))) {
      const place = placeOf(names, mapping);
      const { key } = place;
      const id = `${place.dnat.set} ${place.spelled}`;
      if (wanted.has(id)) continue;
      const data = encodeDestination(container.ip, mapping.containerPort);
      const marking = jump === undefined ? undefined : { key, data: { jump }, comment: '' };
      wanted.set(id, { ...place, element: { key, data, comment }, marking });
    }
  }
  return [...wanted.values()];
}

function familyOf({ container }: Need): Family {
  return container.ip.family;
}

/** Whether two elements with the same key have the same data. */
export function sameElement(a: SetElement | undefined, b: SetElement | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.comment === b.comment && spellData(a.data) === spellData(b.data);
}

function spellData(data: SetElement['data']): string {
  if (data === undefined) return '';
  return data instanceof Uint8Array ? data.join() : data.jump;
}
