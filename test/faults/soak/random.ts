// Random numbers that are the same for the same seed. The generator is mulberry32, which is small and good enough for choosing.

export class Random {
  #state: number;

  /** `seed`: an unsigned 32-bit number. */
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 ≤ x < 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** From `least` to `most`, both included. */
  integer(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  /** One of the items; undefined when there are none. */
  pick<T>(items: readonly T[]): T | undefined {
    return items[this.integer(0, items.length - 1)];
  }

  /** A locally administered unicast MAC. */
  mac(): string {
    const bytes = Array.from({ length: 5 }, () => this.integer(0, 255).toString(16).padStart(2, '0'));
    return `02:${bytes.join(':')}`;
  }

  /** Returns another generator, whose numbers depend only on the present state of this one. */
  fork(): Random {
    return new Random(this.integer(0, 0xffff_ffff));
  }
}
