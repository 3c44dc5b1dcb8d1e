// Asks with ICMP echoes in VXLAN packets made by hand whether a tunnel device answers to a MAC. Only one question runs at a time: where
// only the kernel's counter shows answers, those of two questions could not be told apart.

import type { Clock } from '../../lib/clock-node.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { Reply } from './ask.ts';
import { type EchoWitness, watchEchoes } from './echo-witness.ts';

/** How many echoes are sent at once, so that their answers stand out from those to pings of others. */
const ECHOES = 16;
const ENOUGH = 12;
/** How long echo replies to others are counted first, and how long answers are then waited for. */
const WINDOW_MS = 500;
/** How many questions may wait for their turn. More are given up; the next examination of the peer asks again. */
const QUEUE = 4;

export interface EchoTools {
  readonly sys: Syscalls;
  readonly clock: Clock;
}

export class EchoAsker {
  readonly #tools: EchoTools;
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(tools: EchoTools) {
    this.#tools = tools;
  }

  /** `send` sends one echo with this identifier and sequence number. The reply is `silent` also when too many questions wait. */
  async ask(family: 4 | 6, id: number, send: (sequence: number) => void): Promise<Reply> {
    if (this.#waiting >= QUEUE) return { kind: 'silent' };
    this.#waiting++;
    const turn = this.#turn.then(() => this.#askNow(family, id, send));
    this.#turn = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      this.#waiting--;
    }
  }

  async #askNow(family: 4 | 6, id: number, send: (sequence: number) => void): Promise<Reply> {
    const witness = await watchEchoes(this.#tools.sys, family, id);
    try {
      const others = witness.isExact ? 0 : await this.#countMeanwhile(witness);
      const before = witness.count();
      for (let sequence = 1; sequence <= ECHOES; sequence++) send(sequence);
      await this.#wait();
      const seen = witness.count() - before;
      const isAnswered = witness.isExact ? seen > 0 : seen - 2 * others >= ENOUGH;
      return isAnswered ? { kind: 'echoed' } : { kind: 'silent' };
    } finally {
      witness.close();
    }
  }

  async #countMeanwhile(witness: EchoWitness): Promise<number> {
    const before = witness.count();
    await this.#wait();
    return witness.count() - before;
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => void this.#tools.clock.after(WINDOW_MS, resolve));
  }
}
