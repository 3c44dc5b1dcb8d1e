// Ways to damage a JSON document and its text. Without Node, because the sanitizer build runs it too.

import type { Random } from './random.ts';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const TEXTS = [
  '',
  ' ',
  '..',
  '../../../../etc/weft-hostile',
  '/',
  '/proc/self/mem',
  '/dev/zero',
  '/run/hostile/../hostile',
  'a/b',
  '\u0000',
  'x\u0000y',
  '\n',
  '$(touch /run/pwned)',
  '`touch /run/pwned`; touch /run/pwned',
  '-rf',
  '%s%n%s%n',
  'größe',
  '\ud800',
  '\u202e',
  '😀',
  'eth0',
  'cni0',
  'lo',
  'x'.repeat(16),
  'x'.repeat(300),
  'x'.repeat(70_000),
  '10.244.1.0/33',
  '10.244.1.1/-1',
  '999.1.1.1',
  '0x0a.1.1.1',
  '::/0',
  'fe80::1%eth0',
  '0.0.0.0/0',
  '1.1.0',
  '9.9.9',
  'true',
  '1e3',
  '__proto__',
] as const;

const NUMBERS = [0, -0, -1, 1, 1.5, 4095, 65_535, 65_536, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 1e300, -1e300] as const;

/** A value that hardly any key accepts. */
export function weirdValue(random: Random): Json {
  switch (random.below(8)) {
    case 0:
      return null;
    case 1:
      return random.chance(0.5);
    case 2:
      return random.pick(NUMBERS);
    case 3:
      return [];
    case 4:
      return {};
    case 5:
      return deepValue(random);
    default:
      return random.pick(TEXTS);
  }
}

function deepValue(random: Random): Json {
  const levels = random.pick([2, 20, 127, 129]);
  const isList = random.chance(0.5);
  let value: Json = random.pick(TEXTS);
  for (let level = 0; level < levels; level++) value = isList ? [value] : { a: value };
  return value;
}

/** A copy with one value replaced, removed, added or given under another name. */
export function spoilDocument(document: Json, random: Random): Json {
  if (document === null || typeof document !== 'object' || random.chance(0.05)) return weirdValue(random);
  if (Array.isArray(document)) return spoilList(document, random);
  const keys = Object.keys(document);
  if (keys.length === 0 || random.chance(0.1)) return withKey(document, random.pick(TEXTS), weirdValue(random));
  const key = random.pick(keys);
  const value = document[key] ?? null;
  switch (random.below(6)) {
    case 0:
      return Object.fromEntries(Object.entries(document).filter(([name]) => name !== key));
    case 1:
      return withKey(document, key, weirdValue(random));
    case 2:
      return withKey(document, random.chance(0.5) ? key.toUpperCase() : key.toLowerCase(), weirdValue(random));
    default:
      return withKey(document, key, spoilDocument(value, random));
  }
}

function spoilList(list: readonly Json[], random: Random): Json {
  const at = random.below(list.length + 1);
  if (at === list.length) return [...list, weirdValue(random)];
  const copy = [...list];
  if (random.chance(0.2)) copy.splice(at, 1);
  else copy[at] = spoilDocument(copy[at] ?? null, random);
  return copy;
}

/** As an own property, whatever the name is. */
function withKey(object: { [key: string]: Json }, key: string, value: Json): Json {
  return Object.fromEntries([...Object.entries(object), [key, value]]);
}

const SNIPPETS = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  '\\',
  '\\u',
  '\\ud800',
  '1e999',
  '00',
  'NaN',
  '\ufeff',
  '/*',
  '\u0000',
];

/** The text of a document, cut, doubled, or with something inserted that does not belong there. */
export function spoilText(text: string, random: Random): string {
  const at = random.below(text.length + 1);
  switch (random.below(6)) {
    case 0:
      return text.slice(0, at);
    case 1:
      return text + text;
    case 2:
      return text.slice(0, at) + random.pick(SNIPPETS) + text.slice(at);
    case 3:
      return text.slice(0, at) + random.pick(SNIPPETS) + text.slice(at + 1 + random.below(8));
    case 4:
      return '['.repeat(random.pick([1, 1000, 200_000])) + text;
    default:
      return random.pick(['', ' ', 'null', '[]', '"x"', '1', '\ufeff{}', `${text}x`, `{"a":${'9'.repeat(400)}}`]);
  }
}
