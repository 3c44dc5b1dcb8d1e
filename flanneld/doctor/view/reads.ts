// Reads the parts of the view one by one. A part that fails or takes too long is noted and left out, so that one failure never hides the
// rest.

import { type Clock, systemClock } from '../../../lib/clock-node.ts';
import { errorText } from '../../../lib/errors.ts';
import { stretched } from '../../cli/time-factor.ts';

/** Time limit for a part; most take some milliseconds. */
const LIMIT_MS = 2500;

export class Reads {
  readonly #failures: string[] = [];
  readonly #clock: Clock;

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** One line for each part that could not be read. */
  get failures(): readonly string[] {
    return this.#failures;
  }

  /** The result; undefined when reading threw. */
  one<T>(what: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      this.failed(what, error);
      return undefined;
    }
  }

  /** The same for an asynchronous read. Also undefined when it has not ended after `limitMs`; its later result is ignored. */
  async slow<T>(what: string, read: () => Promise<T>, limitMs = LIMIT_MS): Promise<T | undefined> {
    let cancel: () => void = () => undefined;
    const late = new Promise<never>((_, reject) => {
      const error = new Error(`not finished within ${limitMs / 1000} s`);
      cancel = this.#clock.after(stretched(limitMs), () => reject(error));
    });
    try {
      return await Promise.race([read(), late]);
    } catch (error) {
      this.failed(what, error);
      return undefined;
    } finally {
      cancel();
    }
  }

  failed(what: string, error: unknown): void {
    this.#failures.push(`${what}: ${errorText(error)}`);
  }
}
