// What somebody or something changed behind the agent's back and what was done about it: the newest in a ring of fixed
// size for `flanneld status`, and how many of each kind since the start for the metrics.

/** Kinds of things kept right, also the label of the metric. */
export const DRIFT_OBJECTS = [
  'neigh',
  'fdb',
  'nexthop',
  'route',
  'link',
  'address',
  'firewall',
  'subnet.env',
  'attachment',
  'cni-file',
  'peer',
] as const;
export type DriftObject = (typeof DRIFT_OBJECTS)[number];

/** One thing found wrong and put right. */
export interface Drift {
  readonly object: DriftObject;
  /** The device, table or file it belongs to. */
  readonly place: string;
  /** The peer it was for, or what it was. */
  readonly what: string;
  /** What was found: `missing`, `had lladdr 02:…`, `was down`. */
  readonly was: string;
  /** The command that does the same as what was done. */
  readonly cmd: string;
  /** How many were like this one at the same time; absent for 1. */
  readonly count?: number;
  /** What was missing because of it and was put back with it, by object. */
  readonly followed?: Readonly<Partial<Record<DriftObject, number>>>;
}

export interface DriftEntry extends Drift {
  /** ISO 8601, UTC. */
  readonly time: string;
}

/** Where drift is noted. */
export interface DriftNotes {
  note(drift: Drift): void;
}

/** Entries kept. */
const RING = 256;
/** A command can be a whole firewall script; the start of it is enough to know it by. */
const CMD_CHARACTERS = 1024;

export class DriftLedger implements DriftNotes {
  readonly #now: () => Date;
  readonly #size: number;
  readonly #ring: DriftEntry[] = [];
  readonly #totals = new Map<DriftObject, number>();
  /** Where the next one goes once the ring is full. */
  #next = 0;

  constructor(now: () => Date = () => new Date(), size = RING) {
    this.#now = now;
    this.#size = size;
  }

  note(drift: Drift): void {
    const { object, count = 1, followed = {} } = drift;
    this.#count(object, count);
    for (const each of DRIFT_OBJECTS) this.#count(each, followed[each] ?? 0);
    const cmd = drift.cmd.length > CMD_CHARACTERS ? `${drift.cmd.slice(0, CMD_CHARACTERS)}…` : drift.cmd;
    this.#ring[this.#next] = { time: this.#now().toISOString(), ...drift, cmd };
    this.#next = (this.#next + 1) % this.#size;
  }

  #count(object: DriftObject, count: number): void {
    if (count > 0) this.#totals.set(object, (this.#totals.get(object) ?? 0) + count);
  }

  /** The newest, oldest first. */
  entries(): DriftEntry[] {
    if (this.#ring.length < this.#size) return [...this.#ring];
    return [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)];
  }

  /** How many of a kind were put right since the start. */
  total(object: DriftObject): number {
    return this.#totals.get(object) ?? 0;
  }
}
