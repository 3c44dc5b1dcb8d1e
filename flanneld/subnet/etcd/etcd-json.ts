// Reads the parts of etcd's messages that are needed: key-values, revisions, and the events of a watch (etcd
// api/mvccpb/kv.proto and etcdserverpb/rpc.proto as proto3 JSON).

import type { JsonObject, JsonValue } from '../../../lib/json.ts';
import { field, isJsonObject, jsonObject, parseJson } from '../../../lib/json.ts';
import type { EtcdOp } from './etcd-error.ts';
import { EtcdError, errorOfJson } from './etcd-error.ts';

export interface KeyValue {
  readonly key: string;
  /** Bytes that are no UTF-8 become U+FFFD; no valid lease has any. */
  readonly value: string;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
  /** Decimal text; `0` for a key without an etcd lease. */
  readonly leaseId: string;
}

/** The contents of one message of a watch. */
export interface WatchNews {
  /** The watch has reported everything up to this revision. */
  readonly revision: bigint;
  readonly events: readonly WatchEvent[];
}

/** For a delete only key and modRevision are set. */
export interface WatchEvent {
  readonly isDelete: boolean;
  readonly kv: KeyValue;
}

export function base64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}

/** The first key after all that begin with `prefix`, which ends in `/`. */
export function prefixEnd(prefix: string): string {
  return `${prefix.slice(0, -1)}0`;
}

/** A 64-bit number, 0 when it is left out. */
export function readInt64(object: JsonObject, key: string): bigint {
  const value = field(object, key);
  if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value);
  return typeof value === 'string' && /^-?[0-9]{1,19}$/.test(value) ? BigInt(value) : 0n;
}

/** The store's revision in the header of an answer. */
export function readRevision(answer: JsonObject): bigint {
  const header = field(answer, 'header');
  return isJsonObject(header) ? readInt64(header, 'revision') : 0n;
}

export function readKeyValues(answer: JsonObject): KeyValue[] {
  return objects(field(answer, 'kvs')).map(readKeyValue);
}

function readKeyValue(kv: JsonObject): KeyValue {
  return {
    key: bytes(kv, 'key'),
    value: bytes(kv, 'value'),
    createRevision: readInt64(kv, 'create_revision'),
    modRevision: readInt64(kv, 'mod_revision'),
    leaseId: String(readInt64(kv, 'lease')),
  };
}

function objects(value: JsonValue | undefined): JsonObject[] {
  return Array.isArray(value) ? value.filter((item: JsonValue) => isJsonObject(item)) : [];
}

function bytes(object: JsonObject, key: string): string {
  const value = field(object, key);
  return typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : '';
}

/** Reads one line of a watch; undefined for a line without news. Throws EtcdError for a line that ends the watch. */
export function newsOfLine(line: string, op: EtcdOp, endpoint: string): WatchNews | undefined {
  const message = parse(line, op, endpoint);
  const failed = errorOfJson(message, op, endpoint);
  if (failed !== undefined) throw failed;
  const result = isJsonObject(message) ? field(message, 'result') : undefined;
  if (!isJsonObject(result)) return undefined;
  if (field(result, 'canceled') === true) throw canceled(result, op, endpoint);
  if (field(result, 'created') === true) return undefined; // its revision does not say how far the watch has reported
  const events: WatchEvent[] = [];
  for (const event of objects(field(result, 'events'))) {
    const kv = field(event, 'kv');
    if (isJsonObject(kv)) events.push({ isDelete: field(event, 'type') === 'DELETE', kv: readKeyValue(kv) });
  }
  // When a message has events, the revision in its header may be newer than they are, and later events then come in the next message. So
  // the last event's revision counts, as in etcd's own client.
  return { revision: events.at(-1)?.kv.modRevision ?? readRevision(result), events };
}

function parse(line: string, { op, object }: EtcdOp, endpoint: string): JsonValue {
  try {
    return parseJson(line);
  } catch (cause) {
    const detail = `${endpoint}: a line of the watch is no JSON`;
    throw new EtcdError({ subsystem: 'etcd', op, object, code: 'INTERNAL', detail, cause });
  }
}

function canceled(result: JsonObject, { op, object }: EtcdOp, endpoint: string): EtcdError {
  const base = { subsystem: 'etcd', op, object };
  const compacted = readInt64(result, 'compact_revision');
  if (compacted > 0n) {
    const detail = `${endpoint}: history before revision ${compacted} is gone`;
    return new EtcdError({ ...base, code: 'compacted', detail }, compacted);
  }
  const reason = field(result, 'cancel_reason');
  const text = typeof reason === 'string' ? reason.slice(0, 300) : 'watch canceled';
  return new EtcdError({ ...base, code: codeOfReason(text), detail: `${endpoint}: ${text}` });
}

/** When etcd refuses a watch, it gives the reason only as text. */
function codeOfReason(reason: string): string {
  if (/invalid auth token|Unauthenticated/.test(reason)) return 'UNAUTHENTICATED';
  return /permission denied/.test(reason) ? 'PERMISSION_DENIED' : 'UNAVAILABLE';
}

/** The comparison "`key` was created at `revision`"; 0: "there is no such key". */
export function createdAt(key: string, revision: bigint): JsonObject {
  return jsonObject({ key: base64(key), target: 'CREATE', result: 'EQUAL', create_revision: String(revision) });
}

/** The comparison "`key` was last changed at `revision`". */
export function changedAt(key: string, revision: bigint): JsonObject {
  return jsonObject({ key: base64(key), target: 'MOD', result: 'EQUAL', mod_revision: String(revision) });
}

/** A put that attaches the key to the lease `leaseId`; `keep` leaves the key's lease as it is. */
export function putOperation(key: string, value: string, leaseId: string | 'keep'): JsonObject {
  const lease = leaseId === 'keep' ? { ignore_lease: true } : { lease: leaseId };
  return jsonObject({ requestPut: jsonObject({ key: base64(key), value: base64(value), ...lease }) });
}

export function deleteOperation(key: string): JsonObject {
  return jsonObject({ requestDeleteRange: jsonObject({ key: base64(key) }) });
}
