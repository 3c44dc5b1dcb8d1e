// Assertions whose message is one line: what was looked at, what was wanted, what was found.

import { isDeepStrictEqual } from 'node:util';

/** The executable did not do what the case says. */
export class CaseFailure extends Error {
  override readonly name = 'CaseFailure';
}

export function fail(message: string): never {
  throw new CaseFailure(message.replaceAll(/\s*\n\s*/g, ' '));
}

/** Equal as JSON values are; the order of keys does not matter. */
export function same(actual: unknown, wanted: unknown, what: string): void {
  if (!isDeepStrictEqual(plain(actual), plain(wanted))) fail(`${what}: wanted ${show(wanted)}, got ${show(actual)}`);
}

/** The text itself, or a text the pattern matches. */
export function sameText(actual: string, wanted: string | RegExp, what: string): void {
  const good = typeof wanted === 'string' ? actual === wanted : wanted.test(actual);
  if (!good) fail(`${what}: wanted ${typeof wanted === 'string' ? show(wanted) : wanted}, got ${show(actual)}`);
}

export function holds(condition: boolean, what: string): asserts condition {
  if (!condition) fail(what);
}

/** The value, which must be there. */
export function present<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) fail(`${what}: there is none`);
  return value;
}

export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 400 ? `${text.slice(0, 400)}…` : text;
}

/** Without keys whose value is undefined, which JSON does not have. */
function plain(value: unknown): unknown {
  const text = JSON.stringify(value);
  return text === undefined ? undefined : JSON.parse(text);
}
