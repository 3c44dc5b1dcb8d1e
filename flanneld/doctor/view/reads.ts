// Reads parts of the view one by one. What cannot be read is noted and left out, so that one failure never hides the rest.

import { errorText } from '../../../lib/errors.ts';

export class Reads {
  readonly #failures: string[] = [];

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

  /** The same for what takes time. */
  async slow<T>(what: string, read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      this.failed(what, error);
      return undefined;
    }
  }

  failed(what: string, error: unknown): void {
    this.#failures.push(`${what}: ${errorText(error)}`);
  }
}
