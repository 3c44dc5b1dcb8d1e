// One lease in the saved state. Each is a JSON text of its own, so that an unreadable one loses only that lease and not the
// whole file. Of the backend data, which a stranger may have written, only the fields that an agent needs are saved.

import { errorText } from '../../lib/errors.ts';
import { field, isJsonObject, type JsonObject, type JsonValue, jsonObject, stringifyJson } from '../../lib/json.ts';
import { parsePlace, readString, rootPlace, showJson } from '../../lib/json-fields.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import { leaseFields, readLease } from './lease-file.ts';
import type { Lease } from './manager.ts';

/** No valid type or field is longer. Of a longer one the beginning is enough for an error message. */
const MAX_TEXT = 64;

/** The fields that backends read, by type; other types read none. */
const NEEDED: ReadonlyMap<string, readonly string[]> = new Map([
  ['vxlan', ['VNI', 'VtepMAC']],
  ['wireguard', ['PublicKey', 'Port']],
]);

/** The fields of the data of a node that moves to another backend. */
const MOVE_FIELDS = ['Type', 'PublicKey', 'Port', 'PortV6'];

/** The part of the data that a backend of this type reads; undefined when it reads none. */
function neededData(backendType: string, data: JsonValue | undefined): JsonValue | undefined {
  // The commands of the extension backend get all of it.
  if (data === undefined || backendType === 'extension') return data;
  const names = NEEDED.get(backendType);
  if (names === undefined) return undefined;
  if (!isJsonObject(data)) return plain(data);
  return chosen(data, names);
}

function chosen(data: JsonObject, names: readonly string[]): JsonValue {
  return jsonObject(Object.fromEntries(names.map((name) => [name, plain(field(data, name))])));
}

/** Keeps a number or a short text; turns a list or an object into the text that a message would quote. */
function plain(value: JsonValue | undefined): JsonValue | undefined {
  if (typeof value === 'string') return value.slice(0, MAX_TEXT);
  return Array.isArray(value) || isJsonObject(value) ? showJson(value) : value;
}

/** The lease with only the data that is needed. */
function needed(lease: Lease): Lease {
  const { backendData, backendV6Data, moveData, ...rest } = lease;
  const backendType = lease.backendType.slice(0, MAX_TEXT);
  const [data, v6Data] = [neededData(backendType, backendData), neededData(backendType, backendV6Data)];
  return {
    ...rest,
    backendType,
    ...(data !== undefined && { backendData: data }),
    ...(v6Data !== undefined && { backendV6Data: v6Data }),
    ...(moveData !== undefined && isJsonObject(moveData) && { moveData: chosen(moveData, MOVE_FIELDS) }),
  };
}

/** The lease as a complete JSON document. */
export function renderSavedLease(key: string, lease: Lease): string {
  return stringifyJson(jsonObject({ Key: key, Created: lease.created, ...leaseFields(needed(lease)) }));
}

/** Reads a text, or an object as earlier versions wrote it. Throws ConfigError or JsonError. */
export function readSavedLease(item: JsonValue): readonly [string, Lease] {
  const place = typeof item === 'string' ? parsePlace('saved lease', item) : rootPlace('saved lease', item);
  const created = readString(place, 'Created');
  return [readString(place, 'Key') ?? '', { ...readLease(place), ...(created !== undefined && { created }) }];
}

/** Reads all leases; an unreadable one becomes a problem. */
export function readSavedLeases(items: readonly JsonValue[]): { leases: Map<string, Lease>; problems: PeerProblem[] } {
  const leases = new Map<string, Lease>();
  const problems: PeerProblem[] = [];
  for (const [at, item] of items.entries()) {
    try {
      leases.set(...readSavedLease(item));
    } catch (error) {
      problems.push({ key: `remembered lease ${at + 1}`, reason: errorText(error) });
    }
  }
  return { leases, problems };
}
