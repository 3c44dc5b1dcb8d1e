// Typed reading of a plugin's configuration: `json: mtu: expected a whole number, got "1400"`.

import { isJsonObject, type JsonObject, type JsonValue, stringifyJson } from '../../lib/json.ts';
import { failure } from './error.ts';

/** A place in a configuration: the dotted path to `object`, and the object. */
export interface Fields {
  readonly path: string;
  readonly object: JsonObject;
  /** Values by lower-case key. Made only when a key is not found in its usual spelling, so most look-ups do not need it. */
  lower?: JsonObject;
}

/** The whole configuration. */
export function rootFields(object: JsonObject): Fields {
  return { path: '', object };
}

/** The value under `key` in any case, undefined when absent or null; like lib/json's `field`, but faster for many keys. */
function lookup(fields: Fields, key: string): JsonValue | undefined {
  const exact = fields.object.get(key);
  if (exact !== undefined && exact !== null) return exact;
  fields.lower ??= lowerCased(fields.object);
  return fields.lower.get(key.toLowerCase());
}

function lowerCased(object: JsonObject): JsonObject {
  const lower = new Map<string, JsonValue>();
  object.forEach((value, key) => {
    if (value !== null) lower.set(key.toLowerCase(), value);
  });
  return lower;
}

export const emptyObject: JsonObject = new Map();

function pathOf(fields: Fields, key: string): string {
  return fields.path === '' ? key : `${fields.path}.${key}`;
}

function wrongType(path: string, expected: string, value: JsonValue): Error {
  return failure(`json: ${path}: expected ${expected}, got ${stringifyJson(value).slice(0, 64)}`);
}

/** The string under `key`, '' when absent. Like all functions here it throws CniError 999 for another type. */
export function stringField(fields: Fields, key: string): string {
  const value = lookup(fields, key);
  if (value === undefined) return '';
  if (typeof value !== 'string') throw wrongType(pathOf(fields, key), 'a string', value);
  return value;
}

/** The boolean under `key`; undefined when absent. */
export function boolField(fields: Fields, key: string): boolean | undefined {
  const value = lookup(fields, key);
  if (value !== undefined && typeof value !== 'boolean') throw wrongType(pathOf(fields, key), 'true or false', value);
  return value;
}

/** The integer under `key`; undefined when absent. */
export function intField(fields: Fields, key: string): number | undefined {
  const value = lookup(fields, key);
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value)) {
    throw wrongType(pathOf(fields, key), 'a whole number', value);
  }
  return value;
}

/** The object under `key`; undefined when absent. */
export function objectField(fields: Fields, key: string): Fields | undefined {
  const value = lookup(fields, key);
  if (value === undefined) return undefined;
  const path = pathOf(fields, key);
  if (!isJsonObject(value)) throw wrongType(path, 'an object', value);
  return { path, object: value };
}

/** The list under `key`; empty when absent. */
export function listField(fields: Fields, key: string): readonly JsonValue[] {
  const value = lookup(fields, key);
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw wrongType(pathOf(fields, key), 'a list', value);
  return value as readonly JsonValue[];
}

/** The strings of the list under `key`; empty when absent. */
export function stringsField(fields: Fields, key: string): readonly string[] {
  return listField(fields, key).map((item, at) => {
    if (typeof item !== 'string') throw wrongType(`${pathOf(fields, key)}[${at}]`, 'a string', item);
    return item;
  });
}

/** The objects of the list under `key`; empty when absent. */
export function objectsField(fields: Fields, key: string): readonly Fields[] {
  return listField(fields, key).map((item, at) => {
    const path = `${pathOf(fields, key)}[${at}]`;
    if (!isJsonObject(item)) throw wrongType(path, 'an object', item);
    return { path, object: item };
  });
}

/** Whether the object has a key, in any case, that is not in `known` (lower case); `cni.dev/…` keys are the runtime's. */
export function hasUnknownKey(object: JsonObject, known: readonly string[]): boolean {
  for (const key of object.keys()) {
    const lower = key.toLowerCase();
    if (!known.includes(lower) && !lower.startsWith('cni.dev/')) return true;
  }
  return false;
}
