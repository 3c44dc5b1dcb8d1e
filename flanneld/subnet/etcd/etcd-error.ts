// Errors of etcd, read from the JSON of its gateway (gRPC status codes, google/rpc/code.proto).

import { OpError } from '../../../lib/errors.ts';
import type { JsonValue } from '../../../lib/json.ts';
import { field, isJsonObject, parseJson } from '../../../lib/json.ts';
import { HttpError, HttpStatusError } from '../http.ts';

/** `etcd: range /coreos.com/network/config: UNAVAILABLE (etcdserver: no leader)`. */
export class EtcdError extends OpError {
  /** Whether another endpoint may succeed. */
  readonly isElsewhere: boolean;
  /** Whether the login token is no longer valid. */
  readonly isLoginOver: boolean;
  /** With code `compacted`: the oldest revision that can still be watched. */
  readonly compactRevision: bigint | undefined;

  constructor(fields: ConstructorParameters<typeof OpError>[0], compactRevision?: bigint) {
    super(fields);
    this.name = 'EtcdError';
    this.isElsewhere = !knownStatuses.has(fields.code) || elsewhere.has(fields.code);
    // etcd answers INVALID_ARGUMENT for a token older than the last change of permissions. For a watch with any bad token it
    // answers "permission denied".
    const isOldToken = /revision of auth store is old/.test(fields.detail ?? '');
    const isWatchDenied = fields.op === 'watch' && fields.code === 'PERMISSION_DENIED';
    this.isLoginOver = fields.code === 'UNAUTHENTICATED' || isOldToken || isWatchDenied;
    this.compactRevision = compactRevision;
  }
}

const statusNames: Readonly<Record<number, string>> = {
  1: 'CANCELLED',
  3: 'INVALID_ARGUMENT',
  4: 'DEADLINE_EXCEEDED',
  5: 'NOT_FOUND',
  7: 'PERMISSION_DENIED',
  8: 'RESOURCE_EXHAUSTED',
  9: 'FAILED_PRECONDITION',
  11: 'OUT_OF_RANGE',
  12: 'UNIMPLEMENTED',
  13: 'INTERNAL',
  14: 'UNAVAILABLE',
  16: 'UNAUTHENTICATED',
};
const knownStatuses = new Set([...Object.values(statusNames), 'compacted']);
const elsewhere = new Set(['CANCELLED', 'DEADLINE_EXCEEDED', 'UNAVAILABLE', 'INTERNAL']);

export interface EtcdOp {
  readonly op: string;
  readonly object: string;
}

/** Turns a failed call or a bad HTTP status into an EtcdError; returns everything else (an abort, a bug) as it was. */
export function toEtcdError(thrown: unknown, { op, object }: EtcdOp, endpoint: string): unknown {
  if (thrown instanceof HttpError) {
    const detail = `${endpoint}: ${thrown.message}`;
    return new EtcdError({ subsystem: 'etcd', op, object, code: thrown.code, detail, cause: thrown });
  }
  if (thrown instanceof HttpStatusError) return errorOfStatus(thrown, { op, object }, endpoint);
  return thrown;
}

function errorOfStatus({ status, body }: HttpStatusError, { op, object }: EtcdOp, endpoint: string): EtcdError {
  const base = { subsystem: 'etcd', op, object };
  let answer: JsonValue | undefined;
  try {
    answer = parseJson(body);
  } catch {
    const hint =
      status === 404 ? 'no etcd v3 JSON gateway there (etcd before 3.4, or --enable-grpc-gateway=false)' : '';
    return new EtcdError({ ...base, code: `HTTP ${status}`, detail: `${endpoint}: ${hint || body.slice(0, 200)}` });
  }
  return errorOfJson(answer, { op, object }, endpoint) ?? new EtcdError({ ...base, code: `HTTP ${status}` });
}

/** The error in `{"error":…}` of an answer or of a message in a stream; undefined when there is none. */
export function errorOfJson(answer: JsonValue, { op, object }: EtcdOp, endpoint: string): EtcdError | undefined {
  if (!isJsonObject(answer)) return undefined;
  const error = field(answer, 'error');
  if (error === undefined) return undefined;
  // An answer has { error: text, code }; a message in a stream has { error: { grpc_code, message } }.
  const inner = isJsonObject(error) ? error : answer;
  const message = field(inner, 'message') ?? error;
  const code = field(inner, 'grpc_code') ?? field(inner, 'code');
  const name = typeof code === 'number' ? (statusNames[code] ?? `code ${code}`) : 'unknown error';
  const text = typeof message === 'string' ? message.slice(0, 300) : '';
  return new EtcdError({ subsystem: 'etcd', op, object, code: name, detail: `${endpoint}: ${text}` });
}
