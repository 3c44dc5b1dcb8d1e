// Keeps the failures of a store that last, and since when. The log reports each once; /readyz?verbose and `status` show it in the same
// words while it lasts.

import { errorText } from '../../lib/errors.ts';
import { createFailureLog, type FailureLog, type Logger } from './log.ts';

/** One thing that does not work. */
export interface StoreTrouble {
  /** The text in the log. */
  readonly text: string;
  /** The first failure since it last worked. */
  readonly since: Date;
}

export class StoreTroubles {
  readonly #now: () => Date;
  readonly #known = new Map<string, StoreTrouble>();
  #logs = 0;

  constructor(now: () => Date = () => new Date()) {
    this.#now = now;
  }

  /** Makes a failure log. A failure that it logs is kept here until it logs the recovery. */
  failureLog(log: Logger): FailureLog {
    const inner = createFailureLog(log);
    const id = `${++this.#logs} `;
    return {
      failed: (key, error, facts, msg) => {
        inner.failed(key, error, facts, msg);
        const why = errorText(error);
        this.note(id + key, why.includes(msg) ? why : `${msg}: ${why}`);
      },
      recovered: (key, facts, msg) => {
        this.forget(id + key);
        inner.recovered(key, facts, msg);
      },
    };
  }

  note(key: string, text: string): void {
    this.#known.set(key, { text, since: this.#known.get(key)?.since ?? this.#now() });
  }

  forget(key: string): void {
    this.#known.delete(key);
  }

  /** The one that has lasted longest comes first. */
  list(): readonly StoreTrouble[] {
    return [...this.#known.values()].sort((a, b) => a.since.getTime() - b.since.getTime());
  }
}
