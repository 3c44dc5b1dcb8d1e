// A fake kernel behind a netlink connection. It stores objects, lists them, and sends events about every change, which is enough to run the
// reconciler without root. It refuses only what tests tell it to refuse.

import { formatIp, formatPrefix } from '../../lib/ip.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { NLM_F_REPLACE } from '../../lib/netlink/constants.ts';
import { type FakeReplies, openFakeNetlink } from '../../lib/netlink/fake.ts';
import type { MessageReader } from '../../lib/netlink/reader.ts';
import { type RtnetlinkEvent, readEvent } from '../../lib/rtnetlink/event.ts';
import { decodeFdb } from '../../lib/rtnetlink/fdb.ts';
import { decodeNeigh } from '../../lib/rtnetlink/neigh.ts';
import { decodeNexthop } from '../../lib/rtnetlink/nexthop.ts';
import { decodeRoute, RTA_OIF } from '../../lib/rtnetlink/route-message.ts';
import {
  AF_BRIDGE,
  NDA_CACHEINFO,
  RTM_DELNEIGH,
  RTM_DELNEXTHOP,
  RTM_DELROUTE,
  RTM_GETNEIGH,
  RTM_GETNEXTHOP,
  RTM_GETROUTE,
  RTM_NEWNEIGH,
  RTM_NEWNEXTHOP,
  RTM_NEWROUTE,
} from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { ENETUNREACH, ENOENT } from '../../lib/sys/errno.ts';
import { messageOf } from './netlink-bytes.ts';

const NLM_F_DUMP = 0x300;
const NEW: ReadonlySet<number> = new Set([RTM_NEWNEIGH, RTM_NEWNEXTHOP, RTM_NEWROUTE]);
const DEL: ReadonlySet<number> = new Set([RTM_DELNEIGH, RTM_DELNEXTHOP, RTM_DELROUTE]);

const DELETED: Readonly<Record<string, number>> = {
  neigh: RTM_DELNEIGH,
  fdb: RTM_DELNEIGH,
  nexthop: RTM_DELNEXTHOP,
  route: RTM_DELROUTE,
};

export class EchoKernel {
  readonly netlink: Netlink;
  /** Payloads by object: `route 10.244.2.0/24`, `neigh 10.244.2.0`, `fdb 02:…`, `nexthop 1474297858`. */
  readonly objects = new Map<string, Uint8Array>();
  /** Every requested change, refused or not, such as `+route 10.244.2.0/24` or `-fdb 02:…`. */
  readonly asked: string[] = [];
  /** How many lists were requested. */
  listed = 0;
  /** Decides about a change: an errno refuses it; 0 or undefined allows it. */
  refuse: (change: string) => number | undefined = () => undefined;
  /** The device of routes whose requests contain only the nexthop. */
  readonly #deviceIndex: number;
  /** Events that were sent but not read yet. */
  readonly #events: MessageReader[] = [];
  hear: (event: RtnetlinkEvent) => void = () => undefined;

  constructor(deviceIndex: number) {
    this.#deviceIndex = deviceIndex;
    this.netlink = openFakeNetlink((request, replies) => this.#answer(request, replies)).netlink;
  }

  /** Delivers the events since the last call. */
  readonly settle = (): Promise<void> => {
    for (const message of this.#events.splice(0)) {
      const event = readEvent(message);
      if (event !== undefined) this.hear(event);
    }
    return Promise.resolve();
  };

  /** Removes an object as if another program did, and sends the event. */
  remove(name: string): void {
    const payload = this.objects.get(name);
    if (payload === undefined) return;
    this.objects.delete(name);
    this.#tell(DELETED[name.split(' ')[0] ?? ''] ?? 0, name, payload, 0);
  }

  /** The payload of a new object; a route that was requested with only a nexthop gets its device, as in the real kernel. */
  #stored(request: MessageReader): Uint8Array {
    const payload = request.bytes.slice(request.struct(0), request.end);
    if (request.type !== RTM_NEWROUTE || decodeRoute(request)?.oif !== undefined) return payload;
    const whole = messageOf(request.type, (writer) => {
      for (const byte of payload) writer.u8(byte);
      writer.attrU32(RTA_OIF, this.#deviceIndex);
    });
    return whole.bytes.slice(whole.struct(0), whole.end);
  }

  /** Sends an event in the real kernel's form: FDB entries have their age. */
  #tell(type: number, name: string, payload: Uint8Array, flags: number): void {
    const message = messageOf(
      type,
      (writer) => {
        for (const byte of payload) writer.u8(byte);
        if (name.startsWith('fdb')) writer.attrBytes(NDA_CACHEINFO, new Uint8Array(16));
      },
      flags,
    );
    this.#events.push(message);
  }

  /** The sorted names of all objects. */
  names(kind = ''): string[] {
    return [...this.objects.keys()].filter((name) => name.startsWith(kind)).sort();
  }

  #answer(request: MessageReader, replies: FakeReplies): void {
    const { type } = request;
    if (type === RTM_GETNEIGH) {
      const kind = request.view.getUint8(request.struct(1)) === AF_BRIDGE ? 'fdb ' : 'neigh ';
      this.#list(RTM_NEWNEIGH, kind, replies);
    } else if (type === RTM_GETNEXTHOP) this.#list(RTM_NEWNEXTHOP, 'nexthop ', replies);
    else if (type === RTM_GETROUTE) {
      if ((request.flags & NLM_F_DUMP) === NLM_F_DUMP) this.#list(RTM_NEWROUTE, 'route ', replies);
      else replies.error(ENETUNREACH);
    } else if (NEW.has(type)) {
      const payload = this.#stored(request);
      this.#change('+', nameOf(request), replies, (name) => {
        this.#tell(type, name, payload, this.objects.has(name) ? NLM_F_REPLACE : 0);
        this.objects.set(name, payload);
      });
    } else if (DEL.has(type)) {
      this.#change('-', nameOf(request), replies, (name) => {
        const payload = this.objects.get(name);
        if (payload === undefined) replies.error(ENOENT);
        else this.#tell(type, name, payload, 0);
        this.objects.delete(name);
      });
    }
  }

  #change(sign: string, name: string, replies: FakeReplies, make: (name: string) => void): void {
    this.asked.push(sign + name);
    const errno = this.refuse(sign + name) ?? 0;
    if (errno !== 0) replies.error(errno, 'told to refuse');
    else make(name);
  }

  #list(type: number, kind: string, replies: FakeReplies): void {
    this.listed += 1;
    for (const [name, payload] of this.objects) {
      if (!name.startsWith(kind)) continue;
      replies.message(type, (writer) => {
        for (const byte of payload) writer.u8(byte);
      });
    }
  }
}

function nameOf(request: MessageReader): string {
  if (request.type === RTM_NEWROUTE || request.type === RTM_DELROUTE) {
    const route = decodeRoute(request);
    return `route ${route === undefined ? '?' : formatPrefix(route.destination)}`;
  }
  if (request.type === RTM_NEWNEXTHOP || request.type === RTM_DELNEXTHOP) return `nexthop ${decodeNexthop(request).id}`;
  if (request.view.getUint8(request.struct(1)) === AF_BRIDGE) return `fdb ${decodeFdb(request)?.mac ?? '?'}`;
  const neigh = decodeNeigh(request);
  return `neigh ${neigh === undefined ? '?' : formatIp(neigh.destination)}`;
}
