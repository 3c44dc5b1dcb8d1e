// Finds out whether rules of others refuse everything that pods send or get. It sends a packet to an address that no pod has. If
// the packet passes every rule, the kernel asks for that address on the pods' bridge, which shows in its neighbour table. A packet
// that did not pass is sent again and traced, so that the very rule at the hook forward that refused it can be named.

import { formatIp, type Ip } from '../../../lib/ip.ts';
import type { Link } from '../../../lib/rtnetlink/link.ts';
import { deleteNeigh, listNeighs } from '../../../lib/rtnetlink/neigh.ts';
import { NUD_NONE } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import type { Finding } from '../side/compare-pod-side.ts';
import type { PathFamily } from '../side/paths.ts';
import type { InjectTools } from './inject.ts';
import { LegacyRules } from './legacy-rules.ts';
import { refusalParts } from './refusal-text.ts';
import { type Sender, sendersOf } from './senders.ts';
import { type Fate, type TraceTools, traceFates } from './trace.ts';

export type ForwardProbeTools = InjectTools & TraceTools;

/** How often to probe without an event. */
const AUDIT_MS = 60_000;
/** The shortest time between two probes, and between two traces of the same trouble. */
const GAP_MS = 1500;
const TRACE_GAP_MS = 20_000;
/** Pauses before each look for the answer, in milliseconds: on a busy machine the kernel may forward late. */
const PATIENCE_MS = [0, 20, 60, 120];

export class ForwardProbe {
  readonly #tools: ForwardProbeTools;
  readonly #isTaken: (ip: Ip) => boolean;
  readonly #legacy: LegacyRules;
  #rulesChanged = true;
  /** Whether there is nothing to probe. */
  #isIdle = true;
  #probedAtMs = Number.NEGATIVE_INFINITY;
  #tracedAtMs = Number.NEGATIVE_INFINITY;
  #findings: readonly Finding[] = [];
  /** Keys of senders whose packets did not pass at the last look, for any reason. */
  readonly #stopped = new Set<string>();

  /** `isTaken` says whether a pod has the address. */
  constructor(isTaken: (ip: Ip) => boolean, tools: ForwardProbeTools) {
    this.#isTaken = isTaken;
    this.#tools = tools;
    this.#legacy = new LegacyRules(tools);
  }

  /** Call when somebody has changed a rule. */
  rulesChanged(): void {
    this.#rulesChanged = true;
  }

  /** Call when nothing is forwarded for another reason, or when there are no pods. */
  forget(): void {
    this.#findings = [];
    this.#stopped.clear();
    this.#rulesChanged = true;
    this.#isIdle = true;
  }

  /** In how many milliseconds to probe; undefined when no probe is due. */
  waitMs(): number | undefined {
    if (this.#isIdle || (!this.#rulesChanged && this.#findings.length === 0)) return undefined;
    return Math.max(0, this.#probedAtMs + GAP_MS - this.#tools.clock.now());
  }

  /** Probes if there is a reason; resolves to what is refused now. Rejects with OpError. */
  async look(bridge: Link, families: readonly PathFamily[]): Promise<readonly Finding[]> {
    this.#isIdle = false;
    if (this.#legacy.haveChanged()) this.#rulesChanged = true;
    const nowMs = this.#tools.clock.now();
    const sinceMs = nowMs - this.#probedAtMs;
    const isNews = this.#rulesChanged || this.#findings.length > 0;
    const dueMs = isNews ? GAP_MS : AUDIT_MS;
    if (sinceMs < dueMs) return this.#findings;
    const mayTrace = this.#rulesChanged || nowMs - this.#tracedAtMs > TRACE_GAP_MS;
    this.#rulesChanged = false;
    this.#probedAtMs = nowMs;
    this.#findings = await this.#probe(bridge, families, isNews, mayTrace);
    return this.#findings;
  }

  async #probe(bridge: Link, families: readonly PathFamily[], isNews: boolean, mayTrace: boolean): Promise<Finding[]> {
    const { netlink } = this.#tools;
    const known = new Set(listNeighs(netlink, { index: bridge.index }).map(({ destination }) => formatIp(destination)));
    const isTaken = (ip: Ip): boolean => known.has(formatIp(ip)) || this.#isTaken(ip);
    const all = families.flatMap((family) => sendersOf(bridge, family, isTaken, this.#tools));
    // A costly probe makes a device, and other programs see it come and go. So it is made only when there is a reason.
    const senders = isNews ? all : all.filter(({ isCostly }) => !isCostly);
    const stopped = await this.#stoppedOf(bridge, senders);
    const suspects = stopped.filter(({ key }) => mayTrace || !this.#stopped.has(key));
    this.#stopped.clear();
    for (const { key } of stopped) this.#stopped.add(key);
    const found = suspects.length === 0 ? [] : await this.#trace(suspects);
    const asked = new Set([...senders.filter((one) => !stopped.includes(one)), ...suspects].map(({ key }) => key));
    return [...found, ...this.#findings.filter(({ key }) => !asked.has(key))];
  }

  /** The senders for whose packets the kernel has not asked for the destination's MAC. */
  async #stoppedOf(bridge: Link, senders: readonly Sender[]): Promise<Sender[]> {
    const { netlink, clock } = this.#tools;
    let waiting = [...senders];
    for (const { inject, from, to } of senders) inject([{ from, to }]);
    for (const pauseMs of PATIENCE_MS) {
      if (waiting.length === 0) break;
      if (pauseMs > 0) await new Promise<void>((resolve) => void clock.after(pauseMs, resolve));
      // For IPv6 the kernel may make an entry before the hook, in the state NUD_NONE; it asks only for a packet that passed.
      const asked = listNeighs(netlink, { index: bridge.index }).filter(({ state }) => state !== NUD_NONE);
      const found = new Set(asked.map(({ destination }) => formatIp(destination)));
      waiting = waiting.filter(({ to }) => !found.has(formatIp(to)));
    }
    // No pod has these addresses. The entries are deleted, because the kernel would repeat its question to every pod.
    const own = senders.flatMap(({ from, to }) => [from, to]);
    netlink.execute(own.map((destination) => deleteNeigh({ index: bridge.index, destination }, bridge.name)));
    return waiting;
  }

  /** Finds the rules that refused the packets. Packets that were stopped elsewhere make no finding. */
  async #trace(senders: readonly Sender[]): Promise<Finding[]> {
    this.#tracedAtMs = this.#tools.clock.now();
    const packets = senders.map(({ from, away }) => ({ from, to: away }));
    const inject = (): void => {
      for (const [n, packet] of packets.entries()) senders[n]?.inject([packet]);
    };
    const fates = await traceFates(packets, inject, this.#tools);
    const findings = await Promise.all(senders.map((sender, n) => this.#findingOf(sender, fates[n])));
    return findings.filter((finding) => finding !== undefined);
  }

  async #findingOf(sender: Sender, fate: Fate | undefined): Promise<Finding | undefined> {
    if (fate === undefined || !fate.isForwarded || fate.hasPassed) return undefined;
    const { key, what, network, devices, from, away } = sender;
    const { cause, advice } = await refusalParts(what, network, devices, fate.refusedBy, this.#tools.nft);
    const seen = `${formatIp(from)} to ${formatIp(away)}`;
    const told = { cause, evidence: `a packet from ${seen} was dropped there`, fix: advice };
    return { key, problem: `${cause}: ${advice} (seen with ${seen})`, required: true, told };
  }
}
