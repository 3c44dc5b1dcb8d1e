// Decides which peer is probed next, as a pure function of time, with a bounded number of packets a second at any size of the cluster. Up
// to 100 targets, each one is probed every five seconds. Beyond that a node always watches the eight that follow it in a ring ordered by
// the hash of their names, so that eight nodes watch every node. Failed peers are tried again, new ones take turns, and all others follow
// in a random order of this node's own, so that a broken pair outside of the ring is found within ten minutes.

/** Up to this many targets, every target is watched. */
const WATCH_ALL = 100;
/** How many targets a node watches when there are more. */
export const RING = 8;
const WATCH_ALL_MS = 5000;
const RING_MS = 15_000;
/**
 * Questions a second above WATCH_ALL. Each costs four packets: question and answer, and the same again for a question from another node,
 * since these come at the same rate. That makes 40 packets a second at each node, which with the agent's work for them take 3.2 ms
 * of processor time a second; the limit is 5 (`npm run bench -- probes`).
 */
const QUESTIONS_A_SECOND = 10;
/** What a further packet for a target costs: half of a question, because other nodes do not send it as well and often nothing answers. */
const EXTRA = 0.5;
/** Questions a second below WATCH_ALL: a whole small cluster that fails at once must be reported in time. */
const QUESTIONS_A_SECOND_SMALL = 150;
/** The most questions a second that may go to failed or new peers, so that the others still have their turn. */
const RETRIES_A_SECOND = 3;
const FIRST_RETRY_MS = 2000;
const LAST_RETRY_MS = { all: 10_000, ring: 30_000 } as const;
/** A new node needs time to become ready. All nodes see its lease at once, and must not probe it all together. */
const NEW_MS = 5000;
const SPREAD_MS = 50;
const CROWD = 50;
/** A target that was probed less than this ago is skipped when its turn comes. */
const PASS_OVER_MS = 15_000;
const LOOK_AHEAD = 64;

interface Entry {
  readonly id: string;
  watched: boolean;
  failures: number;
  /** When to probe it; infinite while it waits for its turn among the others. */
  dueMs: number;
  /** Before this time it is too new to be probed. */
  readonly readyMs: number;
  lastMs: number;
  busy: boolean;
  /** Whether it was chosen because it failed or is new. */
  isRetry: boolean;
  gone: boolean;
}

export interface ScheduleOptions {
  /** This node's name; it decides which nodes this node watches. */
  readonly own: string;
  /** A random number from 0 to 1. */
  readonly random: () => number;
}

export class ProbeSchedule {
  readonly #own: string;
  readonly #random: () => number;
  readonly #entries = new Map<string, Entry>();
  #watched: Entry[] = [];
  #retries: Entry[] = [];
  #order: Entry[] = [];
  #cursor = 0;
  readonly #tokens = new TokenBucket(QUESTIONS_A_SECOND_SMALL);
  readonly #retryTokens = new TokenBucket(RETRIES_A_SECOND);

  constructor({ own, random }: ScheduleOptions) {
    this.#own = own;
    this.#random = random;
  }

  /** Sets the targets to probe from now on. `names`: each target's id and the name of its node. `renew`: the targets that have changed. */
  setTargets(names: ReadonlyMap<string, string>, nowMs: number, renew: ReadonlySet<string> = new Set()): void {
    for (const [id, entry] of this.#entries) {
      if (names.has(id)) continue;
      entry.gone = true;
      this.#entries.delete(id);
    }
    const watches = watchedBy(this.#own, names);
    // When many targets are new at once, as at the start, they wait for their turns, which are in random order.
    const isCrowd = names.size - this.#entries.size > CROWD || this.#retries.length > CROWD;
    const spreadMs = isCrowd ? Infinity : Math.max(WATCH_ALL_MS, names.size * SPREAD_MS);
    for (const id of names.keys()) this.#setTarget(id, watches.has(id), renew.has(id), nowMs, spreadMs);
    this.#watched = [...this.#entries.values()].filter(({ watched }) => watched);
    this.#retries = [...this.#entries.values()].filter((entry) => !entry.watched && Number.isFinite(entry.dueMs));
    this.#order = this.#order.filter(({ gone }) => !gone);
    this.#tokens.perSecond = names.size <= WATCH_ALL ? QUESTIONS_A_SECOND_SMALL : QUESTIONS_A_SECOND;
  }

  /** Treats a changed target like a new one. */
  renew(id: string, nowMs: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    const spreadMs = entry.watched ? WATCH_ALL_MS : Math.max(WATCH_ALL_MS, this.#entries.size * SPREAD_MS);
    Object.assign(entry, { failures: 0, dueMs: nowMs + NEW_MS + this.#random() * spreadMs });
    if (!entry.watched) this.#keepRetry(entry);
  }

  #setTarget(id: string, watched: boolean, isRenewed: boolean, nowMs: number, spreadMs: number): void {
    const known = this.#entries.get(id);
    const firstMs = nowMs + NEW_MS + this.#random() * (watched ? WATCH_ALL_MS : spreadMs);
    if (known === undefined) {
      const entry = {
        id,
        watched,
        failures: 0,
        dueMs: firstMs,
        readyMs: nowMs + NEW_MS,
        lastMs: -Infinity,
        busy: false,
        isRetry: false,
        gone: false,
      };
      this.#entries.set(id, entry);
      this.#insert(entry);
      return;
    }
    if (isRenewed) Object.assign(known, { failures: 0, dueMs: firstMs });
    if (watched && !known.watched && !Number.isFinite(known.dueMs)) known.dueMs = firstMs;
    known.watched = watched;
  }

  /**
   * Inserts at a random place, so that each node has another order, and not before the cursor, so that the target has its turn in this
   * round.
   */
  #insert(entry: Entry): void {
    const at = this.#cursor + Math.floor(this.#random() * (this.#order.length + 1 - this.#cursor));
    this.#order.push(entry);
    const last = this.#order.length - 1;
    const other = this.#order[at];
    if (other === undefined) return;
    this.#order[at] = entry;
    this.#order[last] = other;
  }

  /** The target to probe now; undefined when none is due, or too many packets were sent. Call `done` afterwards. */
  next(nowMs: number): string | undefined {
    if (!this.#tokens.has(nowMs)) return undefined;
    const watched = earliest(this.#watched, nowMs);
    const retry = watched === undefined ? this.#retry(nowMs) : undefined;
    const entry = watched ?? retry ?? this.#turn(nowMs);
    if (entry === undefined) return undefined;
    entry.isRetry = retry !== undefined;
    this.#tokens.take(1);
    entry.busy = true;
    entry.lastMs = nowMs;
    return entry.id;
  }

  #retry(nowMs: number): Entry | undefined {
    if (this.#retries.length === 0 || !this.#retryTokens.has(nowMs)) return undefined;
    const entry = earliest(this.#retries, nowMs);
    if (entry !== undefined) this.#retryTokens.take(1);
    return entry;
  }

  #turn(nowMs: number): Entry | undefined {
    if (this.#order.length <= WATCH_ALL) return undefined;
    for (let looked = 0; looked < LOOK_AHEAD; looked++) {
      const entry = this.#order[this.#cursor];
      this.#cursor = (this.#cursor + 1) % this.#order.length;
      if (entry !== undefined && mayTurn(entry, nowMs)) return entry;
    }
    return undefined;
  }

  /** Call with the number of packets beyond the first that were sent to a target. */
  spend(id: string, packets: number): void {
    const questions = packets * EXTRA;
    this.#tokens.take(questions);
    if (this.#entries.get(id)?.isRetry === true) this.#retryTokens.take(questions);
  }

  /** Call when the probe of a target that `next` returned has ended. */
  done(id: string, nowMs: number, hasFailed: boolean): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    entry.busy = false;
    const isAll = this.#entries.size <= WATCH_ALL;
    if (hasFailed) {
      entry.failures++;
      const backoffMs = FIRST_RETRY_MS * 2 ** Math.min(entry.failures - 1, 10);
      entry.dueMs = nowMs + Math.min(backoffMs, isAll ? LAST_RETRY_MS.all : LAST_RETRY_MS.ring);
    } else {
      entry.failures = 0;
      const everyMs = isAll ? WATCH_ALL_MS : RING_MS;
      // The random part keeps nodes that started together from probing at the same moments.
      entry.dueMs = entry.watched ? nowMs + everyMs * (0.9 + 0.2 * this.#random()) : Infinity;
    }
    if (!entry.watched) this.#keepRetry(entry);
  }

  #keepRetry(entry: Entry): void {
    const at = this.#retries.indexOf(entry);
    if (Number.isFinite(entry.dueMs)) {
      if (at < 0) this.#retries.push(entry);
    } else if (at >= 0) this.#retries.splice(at, 1);
  }

  /** In how many milliseconds `next` may have a target again. */
  waitMs(nowMs: number): number {
    const tokensMs = this.#tokens.waitMs(nowMs);
    if (this.#order.length > WATCH_ALL) return tokensMs;
    let dueMs = Infinity;
    for (const entry of this.#watched) if (isFree(entry)) dueMs = Math.min(dueMs, entry.dueMs);
    return Math.max(tokensMs, dueMs - nowMs, 0);
  }
}

function isFree({ busy, gone }: Entry): boolean {
  return !busy && !gone;
}

/** A failed target waits until its retry is due. A new one may have its turn earlier, because turns are in random order too. */
function mayTurn(entry: Entry, nowMs: number): boolean {
  const isWaiting = entry.failures > 0 && entry.dueMs > nowMs;
  return isFree(entry) && !isWaiting && nowMs >= entry.readyMs && nowMs - entry.lastMs >= PASS_OVER_MS;
}

/** The entry that has been due for longest. */
function earliest(entries: readonly Entry[], nowMs: number): Entry | undefined {
  let found: Entry | undefined;
  for (const entry of entries) {
    if (isFree(entry) && entry.dueMs <= nowMs && entry.dueMs < (found?.dueMs ?? Infinity)) found = entry;
  }
  return found;
}

/** The ids that a node watches: all of a small cluster, else the RING names that follow its own in the ring of hashes. */
export function watchedBy(own: string, names: ReadonlyMap<string, string>): ReadonlySet<string> {
  if (names.size <= WATCH_ALL) return new Set(names.keys());
  const start = ringPlace(own);
  const next: { readonly name: string; readonly distance: number }[] = [];
  for (const name of names.values()) {
    const distance = (ringPlace(name) - start + 2 ** 32) % 2 ** 32;
    const isBefore = (one: (typeof next)[number]): boolean =>
      one.distance < distance || (one.distance === distance && one.name < name);
    const at = next.findLastIndex(isBefore) + 1;
    // A name has an id in each family.
    if (at === RING || next[at]?.name === name) continue;
    next.splice(at, 0, { name, distance });
    next.length = Math.min(next.length, RING);
  }
  const chosen = new Set(next.map(({ name }) => name));
  return new Set([...names].filter(([, name]) => chosen.has(name)).map(([id]) => id));
}

/** A name's place in the ring: FNV-1a with the finish of MurmurHash3, so that names that differ in their last character are far apart. */
export function ringPlace(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}

/**
 * Saves at most the tokens of two seconds, so that a late tick loses none. The count may be negative; then it gives none until they are
 * earned.
 */
class TokenBucket {
  perSecond: number;
  #tokens = 1;
  #atMs: number | undefined;

  constructor(perSecond: number) {
    this.perSecond = perSecond;
  }

  has(nowMs: number): boolean {
    this.#fill(nowMs);
    return this.#tokens >= 1;
  }

  take(count: number): void {
    this.#tokens -= count;
  }

  waitMs(nowMs: number): number {
    this.#fill(nowMs);
    return this.#tokens >= 1 ? 0 : Math.ceil(((1 - this.#tokens) / this.perSecond) * 1000);
  }

  #fill(nowMs: number): void {
    const grown = ((nowMs - (this.#atMs ?? nowMs)) / 1000) * this.perSecond;
    this.#tokens = Math.min(2 * this.perSecond, this.#tokens + grown);
    this.#atMs = nowMs;
  }
}
