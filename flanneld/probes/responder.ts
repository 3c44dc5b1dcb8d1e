// Answers the probes of other agents, as a pure function of the packet. It answers only peers, only at the address from which the question
// came, with as many bytes as the question has, and only so many a second. So nobody can use it to send packets to a third node, or to
// cause more traffic than they send.

import type { Ip } from '../../lib/ip.ts';
import type { Arrival } from '../../lib/sys/datagram.ts';
import { ownVtep, type ProbePlace, type Target, type TargetChange } from './target.ts';
import { encodeAnswer, type Heard, type Identity, NO_CHECKSUM, readQuestion } from './wire.ts';

/** Answers a second, and how many at once: with 5000 nodes ten questions a second arrive, and more after this node was away. */
const ANSWERS_A_SECOND = 200;
const BURST = 400;

/** How a question came: to the address of the tunnel device, or to the node's own. */
export type Way = 'tunnel' | 'node';

interface Probed {
  readonly atMs: number;
  readonly bytes: number;
}

export interface Reaction {
  readonly answer: Uint8Array;
  /** The asker wants it without a checksum, to learn whether checksums are spoiled on the way. */
  readonly noChecksum: boolean;
}

export class Responder {
  readonly #place: ProbePlace;
  readonly #identity: Identity;
  /** Which target sends from an address, for each way. */
  #senders: Record<Way, Map<bigint, string>> = { tunnel: new Map(), node: new Map() };
  /** Addresses that more than one target has had, such as nodes behind one NAT. */
  readonly #shared = new Set<bigint>();
  /** The last probe that came from each peer through the tunnel. */
  readonly #heard = new Map<string, Probed>();
  #tokens = BURST;
  #refilledMs = 0;

  constructor(place: ProbePlace) {
    this.#place = place;
    const { mac, tunnel } = place;
    this.#identity = { vtep: ownVtep(place), mac, vni: tunnel.vni ?? 0, port: tunnel.port ?? 0 };
  }

  setTargets(targets: Iterable<Target>): void {
    const senders: Record<Way, Map<bigint, string>> = { tunnel: new Map(), node: new Map() };
    this.#shared.clear();
    for (const target of targets) this.#noteSender(target, senders);
    this.#senders = senders;
    const known = new Set(senders.tunnel.values());
    for (const id of this.#heard.keys()) if (!known.has(id)) this.#heard.delete(id);
  }

  /** Like setTargets, when only a few targets have changed. `all` are all targets. */
  changeTargets(changes: readonly TargetChange[], all: Iterable<Target>): void {
    const deleted = new Set<bigint>();
    for (const { before } of changes) {
      this.#senders.tunnel.delete(before.vtep.value);
      deleted.add(before.vtep.value);
      for (const { value } of before.addresses) {
        this.#senders.node.delete(value);
        deleted.add(value);
      }
    }
    // A deleted address may still be that of another target.
    if ([...deleted].some((value) => this.#shared.has(value))) {
      const isOfAnother = ({ vtep, addresses }: Target): boolean =>
        deleted.has(vtep.value) || addresses.some(({ value }) => deleted.has(value));
      for (const target of all) if (isOfAnother(target)) this.#noteSender(target, this.#senders);
    }
    for (const { after } of changes) this.#noteSender(after, this.#senders);
  }

  #noteSender({ id, vtep, addresses }: Target, { tunnel, node }: Record<Way, Map<bigint, string>>): void {
    this.#note(tunnel, vtep.value, id);
    for (const { value } of addresses) this.#note(node, value, id);
  }

  #note(senders: Map<bigint, string>, value: bigint, id: string): void {
    const other = senders.get(value);
    if (other !== undefined && other !== id) this.#shared.add(value);
    senders.set(value, id);
  }

  /** When the last probe from a peer came through the tunnel, on the clock of the arrivals; undefined when none did. */
  heardAtMs(id: string): number | undefined {
    return this.#heard.get(id)?.atMs;
  }

  /** The answer to send to the packet's sender; undefined when there is none. `nowMs` is on the clock of `atMs`. */
  answer({ from, port, payload, atMs, ifindex }: Arrival, way: Way, nowMs: number): Reaction | undefined {
    const nonce = readQuestion(payload);
    const id = this.#senderOf(from, way);
    if (nonce === undefined || id === undefined || port === 0) return undefined;
    if (ifindex !== 0 && !this.#place.ifindexes.includes(ifindex)) return undefined;
    if (!this.#take(nowMs)) return undefined;
    const heard = this.#heardOf(id, atMs);
    if (way === 'tunnel') this.#heard.set(id, { atMs, bytes: payload.length });
    const heldMs = nowMs - atMs;
    const answer = encodeAnswer({ nonce, heldMs, heard, identity: this.#identity, bytes: payload.length });
    return { answer, noChecksum: payload[NO_CHECKSUM] === 1 };
  }

  #senderOf(from: Ip, way: Way): string | undefined {
    return from.family === this.#place.family ? this.#senders[way].get(from.value) : undefined;
  }

  #heardOf(id: string, atMs: number): Heard {
    const before = this.#heard.get(id);
    return before === undefined
      ? { agoMs: undefined, bytes: 0 }
      : { agoMs: Math.max(0, atMs - before.atMs), bytes: before.bytes };
  }

  #take(nowMs: number): boolean {
    const grown = (Math.max(0, nowMs - this.#refilledMs) / 1000) * ANSWERS_A_SECOND;
    this.#tokens = Math.min(BURST, this.#tokens + grown);
    this.#refilledMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
