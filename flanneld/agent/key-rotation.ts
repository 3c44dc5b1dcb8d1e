// A request for a new key of this node, from the status socket to the loop that takes the lease.

import { errorText } from '../../lib/errors.ts';
import type { Logger } from '../health/log.ts';

export class KeyRotation {
  readonly #log: Logger;
  #rotate: (() => Promise<void>) | undefined;
  #done: (() => void) | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Asks the loop for a new key. Does nothing while the agent starts, and with a backend that has no keys. */
  ask(): void {
    this.#rotate?.().then(
      () => this.#done?.(),
      (error: unknown) =>
        this.#log.error({ err: errorText(error) }, 'no new WireGuard key was made, the present one stays'),
    );
  }

  /** Resolves once a new key is made, by `rotate`. */
  next(rotate: (() => Promise<void>) | undefined): Promise<void> {
    this.#rotate = rotate;
    return new Promise((resolve) => {
      this.#done = resolve;
    });
  }
}
