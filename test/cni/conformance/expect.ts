// Assertions with a message of one line that says what was checked, what was expected, and what was found.

import { isDeepStrictEqual } from 'node:util';

/** The error for an executable that does not do what the case says. */
export class CaseFailure extends Error {
  override readonly name = 'CaseFailure';
}

export function fail(message: string): never {
  throw new CaseFailure(message.replaceAll(/\s*\n\s*/g, ' '));
}

/** Requires that two JSON values are equal, whatever the order of keys. */
export function same(actual: unknown, wanted: unknown, what: string): void {
  if (!isDeepStrictEqual(plain(actual), plain(wanted))) fail(`${what}: wanted ${show(wanted)}, got ${show(actual)}`);
}

/** Requires that the text is equal to `wanted` or matches it. */
export function sameText(actual: string, wanted: string | RegExp, what: string): void {
  const good = typeof wanted === 'string' ? actual === wanted : wanted.test(actual);
  if (!good) fail(`${what}: wanted ${typeof wanted === 'string' ? show(wanted) : wanted}, got ${show(actual)}`);
}

export function holds(condition: boolean, what: string): asserts condition {
  if (!condition) fail(what);
}

/** Returns the value, which must be there. */
export function present<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) fail(`${what}: there is none`);
  return value;
}

export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 400 ? `${text.slice(0, 400)}…` : text;
}

/** The value without keys that are undefined, because JSON has no undefined. */
function plain(value: unknown): unknown {
  const text = JSON.stringify(value);
  return text === undefined ? undefined : JSON.parse(text);
}
