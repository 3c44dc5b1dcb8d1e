// A parser to fuzz.

import type { Random } from '../random.ts';

/** One parser. `once` throws, with the input in the message, when the parser did something wrong. */
export interface Target {
  readonly name: string;
  once(random: Random): void;
}
