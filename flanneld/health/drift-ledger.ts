// Records what others changed on the node (drift) and how the agent repaired it. The newest entries are kept for
// `flanneld status`; how many there were of each kind since the start is counted for the metrics.

/** Kinds of things the agent repairs; also the values of the metric's label. */
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

/** One thing that was found wrong and repaired. */
export interface Drift {
  readonly object: DriftObject;
  /** The device, table or file it belongs to. */
  readonly place: string;
  /** The peer it was for, or else a description of the thing. */
  readonly what: string;
  /** The state that was found: `missing`, `had lladdr 02:…`, `was down`. */
  readonly was: string;
  /** A shell command that does what the agent did. */
  readonly cmd: string;
  /** How many things were repaired in the same way at the same time; absent for 1. */
  readonly count?: number;
  /** How many things of each kind were missing because of this one and were restored with it. */
  readonly followed?: Readonly<Partial<Record<DriftObject, number>>>;
}

export interface DriftEntry extends Drift {
  /** ISO 8601, UTC. */
  readonly time: string;
}

/** Takes notes of drift. */
export interface DriftNotes {
  note(drift: Drift): void;
}

/** How many entries are kept. */
const RING = 256;
/** Longer commands are cut off: one can be a whole firewall script, of which the beginning is enough. */
const CMD_CHARACTERS = 1024;

export class DriftLedger implements DriftNotes {
  readonly #now: () => Date;
  readonly #size: number;
  readonly #ring: DriftEntry[] = [];
  readonly #totals = new Map<DriftObject, number>();
  /** Index of the next entry to write. */
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

  /** The entries that are kept, oldest first. */
  entries(): DriftEntry[] {
    if (this.#ring.length < this.#size) return [...this.#ring];
    return [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)];
  }

  /** How many of a kind were repaired since the start. */
  total(object: DriftObject): number {
    return this.#totals.get(object) ?? 0;
  }
}
