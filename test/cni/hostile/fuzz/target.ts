// What is fuzzed.

import type { Random } from '../random.ts';

/** One parser; `once` throws when it did what it must not, with the input in the message. */
export interface Target {
  readonly name: string;
  once(random: Random): void;
}
