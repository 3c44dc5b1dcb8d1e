// Parses JSON (RFC 8259) from strangers. Objects become Maps, so that no key has a special meaning, and both engines give the same
// result. json-fields.ts reads typed fields. Invalid UTF-8 is refused earlier, where bytes become text.

import { findSyntaxError } from './json-syntax.ts';
import { native } from './native.ts';

export type JsonObject = ReadonlyMap<string, JsonValue>;
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;

/**
 * Thrown for text that is not acceptable JSON. `path` is the place in the document, such as `plugins[0].mtu`, and empty for the
 * whole document.
 */
export class JsonError extends Error {
  override readonly name = 'JsonError';
  readonly path: string;

  constructor(path: string, problem: string) {
    super(path === '' ? problem : `${path}: ${problem}`);
    this.path = path;
  }
}

export interface ParseOptions {
  /** The largest depth of objects and arrays in each other; 128 when absent. */
  readonly maxDepth?: number;
}

type Trail = (string | number)[];

/**
 * Parses one JSON document. Throws JsonError for wrong syntax, for too deep nesting, and for integers beyond ±2^53, which
 * JavaScript would round without an error. When a key occurs twice, the last value counts, as in Go.
 */
export function parseJson(text: string, options: ParseOptions = {}): JsonValue {
  const maxDepth = options.maxDepth ?? 128;
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError)
      throw new JsonError('', `invalid JSON: ${findSyntaxError(text) ?? error.message}`);
    // QuickJS parses recursively and throws when its stack is full. V8 parses any depth, and then `convert` refuses it.
    throw new JsonError('', `nested deeper than ${maxDepth} levels`);
  }
  return convert(raw, maxDepth, []);
}

function convert(raw: unknown, depthLeft: number, trail: Trail): JsonValue {
  if (typeof raw === 'number') return checkNumber(raw, trail);
  if (raw === null || typeof raw === 'boolean' || typeof raw === 'string') return raw;
  if (depthLeft === 0) throw new JsonError('', `nested deeper than ${trail.length} levels`);
  if (Array.isArray(raw)) {
    const list: JsonValue[] = [];
    for (let at = 0; at < raw.length; at++) list.push(descend(raw[at], at, depthLeft, trail));
    return list;
  }
  const object = new Map<string, JsonValue>();
  // JSON.parse makes `__proto__` an own property, so this loop sees it and reads what the document has.
  for (const [key, value] of Object.entries(raw as object)) object.set(key, descend(value, key, depthLeft, trail));
  return object;
}

function descend(raw: unknown, step: string | number, depthLeft: number, trail: Trail): JsonValue {
  if (typeof raw === 'string') return raw;
  trail.push(step);
  const value = convert(raw, depthLeft - 1, trail);
  trail.pop();
  return value;
}

function checkNumber(value: number, trail: Trail): number {
  // Every integer text beyond 2^53 rounds to a number that is not a safe integer; 1e999 becomes Infinity.
  if (Number.isSafeInteger(value) || (Number.isFinite(value) && !Number.isInteger(value))) return value;
  throw new JsonError(formatTrail(trail), 'the number is beyond 2^53 and cannot be kept exactly');
}

function formatTrail(trail: Trail): string {
  let path = '';
  for (const step of trail) path = joinPath(path, step);
  return path;
}

/** `path` one step further: `.key` or `[index]`. */
export function joinPath(path: string, step: string | number): string {
  if (typeof step === 'number') return `${path}[${step}]`;
  const key = step.length > 64 ? `${step.slice(0, 64)}…` : step;
  return path === '' ? key : `${path}.${key}`;
}

/**
 * Returns the value of `key`, ignoring case; undefined when it is absent or null, which Go treats alike. The exact spelling is
 * preferred; of several other spellings, the last counts.
 */
export function field(object: JsonObject, key: string): JsonValue | undefined {
  const exact = object.get(key);
  if (exact !== undefined && exact !== null) return exact;
  const wanted = key.toLowerCase();
  let found: JsonValue | undefined;
  for (const [name, value] of object) {
    if (value !== null && name.length === key.length && name.toLowerCase() === wanted) found = value;
  }
  return found;
}

export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return value instanceof Map;
}

/** A JSON object of the record's own keys in their order; keys that are undefined are left out. */
export function jsonObject(record: { readonly [key: string]: JsonValue | undefined }): JsonObject {
  const object = new Map<string, JsonValue>();
  for (const key of Object.keys(record)) {
    const value = record[key];
    if (value !== undefined) object.set(key, value);
  }
  return object;
}

export interface StringifyOptions {
  /** Sort the keys of every object, as Go does with a map. */
  readonly sortKeys?: boolean;
  /** Blanks a level; 0 or absent writes the compact form, without any blank. */
  readonly indent?: number;
  /** Write `<`, `>`, `&`, U+2028 and U+2029 as `\u003c`…, as Go's encoder does unless told otherwise. */
  readonly goEscapes?: boolean;
}

/** Writes JSON text without a final line end; throws JsonError for a number that is not finite. */
export function stringifyJson(value: JsonValue, options: StringifyOptions = {}): string {
  return writeValue(value, options, '');
}

function writeValue(value: JsonValue, options: StringifyOptions, margin: string): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return writeString(value, options);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new JsonError('', `${value} has no JSON form`);
    return String(value);
  }
  const inner = margin + ' '.repeat(options.indent ?? 0);
  if (isJsonObject(value)) return wrap('{', writeMembers(value, options, inner), '}', options, margin, inner);
  const items: string[] = [];
  for (const item of value) items.push(writeValue(item, options, inner));
  return wrap('[', items, ']', options, margin, inner);
}

function writeMembers(object: JsonObject, options: StringifyOptions, inner: string): string[] {
  const keys = [...object.keys()];
  if (options.sortKeys === true) keys.sort();
  const colon = options.indent ? ': ' : ':';
  const members: string[] = [];
  for (const key of keys) {
    members.push(writeString(key, options) + colon + writeValue(object.get(key) ?? null, options, inner));
  }
  return members;
}

function wrap(
  open: string,
  parts: readonly string[],
  close: string,
  options: StringifyOptions,
  margin: string,
  inner: string,
): string {
  if (parts.length === 0 || !options.indent) return open + parts.join(',') + close;
  return `${open}\n${inner}${parts.join(`,\n${inner}`)}\n${margin}${close}`;
}

/** Characters that may be escaped in the output. NUL is the last, because it ends a text that C reads. */
const SPECIAL = `"\\<>&${String.fromCharCode(...Array.from({ length: 31 }, (_, at) => at + 1))}\0`;

function writeString(text: string, options: StringifyOptions): string {
  if (native.isPlain(text, SPECIAL)) return `"${text}"`;
  const quoted = JSON.stringify(text);
  if (options.goEscapes !== true) return quoted;
  return quoted.replace(/[<>&\u2028\u2029]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
