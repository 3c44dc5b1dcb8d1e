// Decides which actions may run at the same time: many small actions may run together, one that changes the set of nodes runs alone, and on
// one node actions run one after the other.

export class Gate {
  #inside = 0;
  #closed = false;
  readonly #waiting: (() => void)[] = [];
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `body` together with others, but after everything that was requested for `key` before. */
  async together<T>(key: string, body: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const turn = this.#after(before, body);
    this.#tails.set(key, turn);
    return await turn;
  }

  async #after<T>(before: Promise<unknown> | undefined, body: () => Promise<T>): Promise<T> {
    await before?.catch(() => undefined);
    await this.#until(() => !this.#closed);
    this.#inside += 1;
    try {
      return await body();
    } finally {
      this.#inside -= 1;
      this.#wake();
    }
  }

  /** Waits until all running actions have ended, while no new ones start, and runs `body` alone. */
  async alone<T>(body: () => Promise<T>): Promise<T> {
    await this.#until(() => !this.#closed);
    this.#closed = true;
    try {
      await this.#until(() => this.#inside === 0);
      return await body();
    } finally {
      this.#closed = false;
      this.#wake();
    }
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
