// Whether somebody's rules refuse all that pods send or get, shown by packets to an address that nobody has. What passes
// every rule makes the kernel ask for that address on the pods' bridge, and that it asks is seen in its neighbour table.
// Only what has not passed is sent again and traced, so that nothing but a rule at the hook forward is blamed, and by name.

import { readFileSync } from 'node:fs';
import { type Family, formatIp, type Ip } from '../../../lib/ip.ts';
import { NUD_NONE } from '../../../lib/rtnetlink/constants.ts';
import type { Link } from '../../../lib/rtnetlink/link.ts';
import { deleteNeigh, listNeighs } from '../../../lib/rtnetlink/neigh.ts';
import type { Finding } from '../side/compare.ts';
import type { PathFamily } from '../side/paths.ts';
import type { InjectTools } from './inject.ts';
import { refusalProblem } from './refusal-text.ts';
import { type Sender, sendersOf } from './senders.ts';
import { type Fate, type TraceTools, traceFates } from './trace.ts';

export type ForwardProbeTools = InjectTools & TraceTools;

/** Without a reason to probe: what iptables-legacy changes is told by nobody. */
const LEGACY_MS = 2000;
const AUDIT_MS = 60_000;
/** Least time between two probes, and between two traces of the same trouble. */
const GAP_MS = 1500;
const TRACE_GAP_MS = 20_000;
/** Pauses in which the kernel may be late to forward, in milliseconds: a busy machine puts it off. */
const PATIENCE_MS = [0, 20, 60, 120];

export class ForwardProbe {
  readonly #tools: ForwardProbeTools;
  readonly #isTaken: (ip: Ip) => boolean;
  #rulesChanged = true;
  #probedAtMs = Number.NEGATIVE_INFINITY;
  #tracedAtMs = Number.NEGATIVE_INFINITY;
  #findings: readonly Finding[] = [];
  /** Keys of senders whose packets did not pass at the last look, for whatever reason. */
  readonly #stopped = new Set<string>();

  /** `isTaken` tells whether a pod has an address. */
  constructor(isTaken: (ip: Ip) => boolean, tools: ForwardProbeTools) {
    this.#isTaken = isTaken;
    this.#tools = tools;
  }

  /** Somebody has changed a rule. */
  rulesChanged(): void {
    this.#rulesChanged = true;
  }

  /** Nothing is forwarded for another reason, or nobody is there to forward for. */
  forget(): void {
    this.#findings = [];
    this.#stopped.clear();
    this.#rulesChanged = true;
  }

  /** In how many milliseconds there is something to probe; undefined: when there is time to. */
  waitMs(): number | undefined {
    if (!this.#rulesChanged && this.#findings.length === 0) return undefined;
    return Math.max(0, this.#probedAtMs + GAP_MS - this.#tools.clock.now());
  }

  /** Probes when there is a reason to; resolves to what is refused now. Rejects with OpError. */
  async look(bridge: Link, families: readonly PathFamily[]): Promise<readonly Finding[]> {
    const nowMs = this.#tools.clock.now();
    const sinceMs = nowMs - this.#probedAtMs;
    const isNews = this.#rulesChanged || this.#findings.length > 0;
    const dueMs = isNews ? GAP_MS : isLegacyInUse() ? LEGACY_MS : AUDIT_MS;
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
    // A device that comes and goes every few seconds would be more trouble than a look that is late.
    const senders = all.filter(({ isCostly }) => isNews || !isCostly);
    const stopped = await this.#stoppedOf(bridge, senders);
    const suspects = stopped.filter(({ key }) => mayTrace || !this.#stopped.has(key));
    this.#stopped.clear();
    for (const { key } of stopped) this.#stopped.add(key);
    const found = suspects.length === 0 ? [] : await this.#trace(suspects);
    const asked = new Set([...senders.filter((one) => !stopped.includes(one)), ...suspects].map(({ key }) => key));
    return [...found, ...this.#findings.filter(({ key }) => !asked.has(key))];
  }

  /** Those of whose packet the kernel has not asked where it is to go. */
  async #stoppedOf(bridge: Link, senders: readonly Sender[]): Promise<Sender[]> {
    const { netlink, clock } = this.#tools;
    let waiting = [...senders];
    for (const { inject, from, to } of senders) inject([{ from, to }]);
    for (const pauseMs of PATIENCE_MS) {
      if (waiting.length === 0) break;
      if (pauseMs > 0) await new Promise<void>((resolve) => void clock.after(pauseMs, resolve));
      // An IPv6 redirect makes an entry in front of the hook; only a packet behind it makes the kernel ask.
      const asked = listNeighs(netlink, { index: bridge.index }).filter(({ state }) => state !== NUD_NONE);
      const found = new Set(asked.map(({ destination }) => formatIp(destination)));
      waiting = waiting.filter(({ to }) => !found.has(formatIp(to)));
    }
    // Nobody has them: what the kernel asks for once more would be heard by every pod.
    const own = senders.flatMap(({ from, to }) => [from, to]);
    netlink.execute(own.map((destination) => deleteNeigh({ index: bridge.index, destination }, bridge.name)));
    return waiting;
  }

  /** Nothing of those whose packets no rule at the hook forward has stopped. */
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
    const problem = await refusalProblem(what, network, devices, fate.refusedBy, this.#tools.nft);
    return { key, problem: `${problem} (seen with ${formatIp(from)} to ${formatIp(away)})`, required: true };
  }
}

/** Its tables exist once somebody has used them. */
function isLegacyInUse(): boolean {
  return ([4, 6] as const).some((family: Family) => {
    try {
      return readFileSync(`/proc/self/net/ip${family === 4 ? '' : '6'}_tables_names`, 'utf8').trim() !== '';
    } catch {
      return false;
    }
  });
}
