// One lease as the remembered state keeps it: a text of its own, so that one that cannot be read costs that lease and
// never the file; and of a stranger's backend data only the fields an agent needs, whatever else an annotation may carry.

import { errorText } from '../../lib/errors.ts';
import { field, isJsonObject, type JsonObject, type JsonValue, jsonObject, stringifyJson } from '../../lib/json.ts';
import { parsePlace, readString, rootPlace, showJson } from '../../lib/json-fields.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import { leaseToJson, readLease } from './lease-file.ts';
import type { Lease } from './manager.ts';

/** As many characters as any type or field that is needed has; of others this much is enough for the message about them. */
const MAX_TEXT = 64;

/** What the backend of this type reads of its data; undefined where it reads none. */
function neededData(backendType: string, data: JsonValue | undefined): JsonValue | undefined {
  // The commands of the extension backend get the whole.
  if (data === undefined || backendType === 'extension') return data;
  if (backendType !== 'vxlan') return undefined;
  if (!isJsonObject(data)) return plain(data);
  return jsonObject({ VNI: plain(field(data, 'VNI')), VtepMAC: plain(field(data, 'VtepMAC')) });
}

/** A number or a short text as it is, anything else as a message would quote it. */
function plain(value: JsonValue | undefined): JsonValue | undefined {
  if (typeof value === 'string') return value.slice(0, MAX_TEXT);
  return Array.isArray(value) || isJsonObject(value) ? showJson(value) : value;
}

/** The lease with nothing but what is needed of it. */
function needed(lease: Lease): Lease {
  const { backendData, backendV6Data, ...rest } = lease;
  const backendType = lease.backendType.slice(0, MAX_TEXT);
  const [data, v6Data] = [neededData(backendType, backendData), neededData(backendType, backendV6Data)];
  return {
    ...rest,
    backendType,
    ...(data !== undefined && { backendData: data }),
    ...(v6Data !== undefined && { backendV6Data: v6Data }),
  };
}

/** A JSON document of its own. */
export function renderSavedLease(key: string, lease: Lease): string {
  const json = leaseToJson(needed(lease));
  const named: JsonObject = new Map([...jsonObject({ Key: key, Created: lease.created }), ...json]);
  return stringifyJson(named);
}

/** Throws ConfigError or JsonError. Files of earlier versions have an object where there is a text now. */
export function readSavedLease(item: JsonValue): readonly [string, Lease] {
  const place = typeof item === 'string' ? parsePlace('saved lease', item) : rootPlace('saved lease', item);
  const created = readString(place, 'Created');
  return [readString(place, 'Key') ?? '', { ...readLease(place), ...(created !== undefined && { created }) }];
}

/** All that can be read, and what is wrong with the others. */
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
