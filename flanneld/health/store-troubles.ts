// What a store cannot do just now, and since when, in the words of the log: /readyz?verbose and `status` show it for as
// long as it lasts, where the log has it once.

import { errorText } from '../../lib/errors.ts';
import { createFailureLog, type FailureLog, type Logger } from './log.ts';

/** One thing that does not work. */
export interface StoreTrouble {
  /** As the log says it. */
  readonly text: string;
  /** When it failed first since it worked last. */
  readonly since: Date;
}

export class StoreTroubles {
  readonly #now: () => Date;
  readonly #known = new Map<string, StoreTrouble>();
  #logs = 0;

  constructor(now: () => Date = () => new Date()) {
    this.#now = now;
  }

  /** A failure log whose failures are also kept here, until it says that they are over. */
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

  /** The one that lasts longest first. */
  list(): readonly StoreTrouble[] {
    return [...this.#known.values()].sort((a, b) => a.since.getTime() - b.since.getTime());
  }
}
