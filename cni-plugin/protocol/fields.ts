// Typed reading of a plugin's configuration with the error texts of Go's encoding/json, which users and
// their tools know: `json: cannot unmarshal string into Go struct field NetConf.mtu of type int`.

import { isJsonObject, type JsonObject, type JsonValue } from '../../lib/json.ts';
import { failure } from './error.ts';

/** Where in a configuration one is: the Go struct errors name, the dotted path to `object`, and the object. */
export interface Fields {
  readonly struct: string;
  readonly path: string;
  readonly object: JsonObject;
  /** Values by lower-case key. Made only when a key is not found as it is spelled here, so most look-ups need it not. */
  lower?: JsonObject;
}

/** The whole of a configuration. */
export function rootFields(object: JsonObject, struct = 'NetConf'): Fields {
  return { struct, path: '', object };
}

/** The value under `key` in any case, undefined when absent or null; lib/json's `field`, quicker for many keys. */
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

function kindOf(value: JsonValue): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number') return Number.isInteger(value) ? 'number' : `number ${value}`;
  return typeof value === 'string' ? 'string' : 'object';
}

function wrongType(fields: Fields, key: string, goType: string, value: JsonValue): Error {
  const path = fields.path === '' ? key : `${fields.path}.${key}`;
  return failure(
    `json: cannot unmarshal ${kindOf(value)} into Go struct field ${fields.struct}.${path} of type ${goType}`,
  );
}

/** The string under `key`, '' when absent; throws CniError 999 for another type, as all here do. */
export function stringField(fields: Fields, key: string): string {
  const value = lookup(fields, key);
  if (value === undefined) return '';
  if (typeof value !== 'string') throw wrongType(fields, key, 'string', value);
  return value;
}

/** The boolean under `key`; undefined when absent. */
export function boolField(fields: Fields, key: string): boolean | undefined {
  const value = lookup(fields, key);
  if (value !== undefined && typeof value !== 'boolean') throw wrongType(fields, key, 'bool', value);
  return value;
}

/** The integer under `key`; undefined when absent. */
export function intField(fields: Fields, key: string, goType = 'int'): number | undefined {
  const value = lookup(fields, key);
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value)) throw wrongType(fields, key, goType, value);
  return value;
}

/** The object under `key`; undefined when absent. */
export function objectField(fields: Fields, key: string, goType = 'map[string]interface {}'): Fields | undefined {
  const value = lookup(fields, key);
  if (value === undefined) return undefined;
  if (!isJsonObject(value)) throw wrongType(fields, key, goType, value);
  return { struct: fields.struct, path: fields.path === '' ? key : `${fields.path}.${key}`, object: value };
}

/** The list under `key`; empty when absent. */
export function listField(fields: Fields, key: string, goType = '[]interface {}'): readonly JsonValue[] {
  const value = lookup(fields, key);
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw wrongType(fields, key, goType, value);
  return value as readonly JsonValue[];
}

/** The strings of the list under `key`; empty when absent. */
export function stringsField(fields: Fields, key: string): readonly string[] {
  return listField(fields, key, '[]string').map((item) => {
    if (typeof item !== 'string') throw wrongType(fields, key, 'string', item);
    return item;
  });
}

/** The objects of the list under `key`; empty when absent. */
export function objectsField(fields: Fields, key: string, goType: string): readonly Fields[] {
  return listField(fields, key, `[]${goType}`).map((item) => {
    if (!isJsonObject(item)) throw wrongType(fields, key, goType, item);
    return { struct: fields.struct, path: fields.path === '' ? key : `${fields.path}.${key}`, object: item };
  });
}

/** Whether the object has a key, in any case, that `known` (lower case) does not list; `cni.dev/…` keys are the runtime's. */
export function hasUnknownKey(object: JsonObject, known: readonly string[]): boolean {
  for (const key of object.keys()) {
    const lower = key.toLowerCase();
    if (!known.includes(lower) && !lower.startsWith('cni.dev/')) return true;
  }
  return false;
}
