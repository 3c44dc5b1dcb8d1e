// Typed, case-insensitive reading of a JSON document's fields; every error names the key, the value and what is allowed.

import { ConfigError, errorText } from './errors.ts';
import type { JsonObject, JsonValue } from './json.ts';
import { field, isJsonObject, joinPath, parseJson, stringifyJson } from './json.ts';

/** An object inside a document: the document's name in errors, the path of the object, and the object itself. */
export interface JsonPlace {
  readonly source: string;
  readonly path: string;
  readonly object: JsonObject;
}

/** Parses a document that must be an object; throws ConfigError `<source>: …` for anything else. */
export function parsePlace(source: string, text: string): JsonPlace {
  let value: JsonValue;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new ConfigError(source, '', errorText(error));
  }
  return rootPlace(source, value);
}

/** The whole of a document; throws ConfigError when it is not an object. */
export function rootPlace(source: string, value: JsonValue): JsonPlace {
  if (!isJsonObject(value)) throw new ConfigError(source, '', `expected an object, got ${showJson(value)}`);
  return { source, path: '', object: value };
}

/** Returns a value as error messages quote it: its JSON, shortened and with control characters escaped. */
export function showJson(value: JsonValue): string {
  if (isJsonObject(value)) return value.size === 0 ? '{}' : 'an object';
  if (Array.isArray(value)) return value.length === 0 ? '[]' : 'a list';
  const text = typeof value === 'string' ? value.slice(0, 65) : value;
  const shown = stringifyJson(text);
  return shown.length > 66 ? `${shown.slice(0, 66)}…` : shown;
}

/** The ConfigError for `key` in `place`: `net-conf: Backend.VNI: expected integer 1–16777215, got "x"`. */
export function fieldError(place: JsonPlace, key: string | number, expected: string, got: JsonValue): ConfigError {
  return new ConfigError(place.source, joinPath(place.path, key), `expected ${expected}, got ${showJson(got)}`);
}

/**
 * Returns the value of `key` after `convert`; undefined when the key is absent or null. `convert` returns undefined or throws for a
 * value that is not `expected`; then this throws ConfigError.
 */
export function readField<T>(
  place: JsonPlace,
  key: string,
  expected: string,
  convert: (value: JsonValue) => T | undefined,
): T | undefined {
  const value = field(place.object, key);
  if (value === undefined) return undefined;
  let result: T | undefined;
  try {
    result = convert(value);
  } catch {
    result = undefined; // "expected X, got Y" says everything, so the converter's own message is dropped
  }
  if (result === undefined) throw fieldError(place, key, expected, value);
  return result;
}

export function readString(place: JsonPlace, key: string): string | undefined {
  return readField(place, key, 'a string', (value) => (typeof value === 'string' ? value : undefined));
}

export function readBoolean(place: JsonPlace, key: string): boolean | undefined {
  return readField(place, key, 'true or false', (value) => (typeof value === 'boolean' ? value : undefined));
}

/** Reads an integer of min…max, both included. A string that contains a number is refused, as in Go. */
export function readInteger(place: JsonPlace, key: string, min: number, max: number): number | undefined {
  return readField(place, key, `integer ${min}–${max}`, (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max ? value : undefined,
  );
}

/** Reads a string with `parse`, which throws when the text is not `expected` (such as `an IPv4 CIDR`). */
export function readText<T>(
  place: JsonPlace,
  key: string,
  expected: string,
  parse: (text: string) => T | undefined,
): T | undefined {
  return readField(place, key, expected, (value) => (typeof value === 'string' ? parse(value) : undefined));
}

export function readObject(place: JsonPlace, key: string): JsonPlace | undefined {
  const object = readField(place, key, 'an object', (value) => (isJsonObject(value) ? value : undefined));
  return object === undefined ? undefined : { source: place.source, path: joinPath(place.path, key), object };
}

export function readList(place: JsonPlace, key: string): readonly JsonValue[] | undefined {
  return readField(place, key, 'a list', (value) =>
    Array.isArray(value) ? (value as readonly JsonValue[]) : undefined,
  );
}

export function readStrings(place: JsonPlace, key: string): readonly string[] | undefined {
  return readList(place, key)?.map((item, index) => {
    if (typeof item === 'string') return item;
    throw fieldError(place, `${key}[${index}]`, 'a string', item);
  });
}

/**
 * Returns the full paths of those keys of `place` that are not in `known`, ignoring case. Usually they are misspelled and deserve a
 * warning.
 */
export function unknownKeys(place: JsonPlace, known: readonly string[]): string[] {
  const names = known.map((name) => name.toLowerCase());
  const unknown: string[] = [];
  for (const key of place.object.keys()) {
    if (!names.includes(key.toLowerCase())) unknown.push(joinPath(place.path, key));
  }
  return unknown;
}
