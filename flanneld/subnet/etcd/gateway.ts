// Talks to etcd v3 through its JSON gateway (etcd ≥ 3.4, api/v3/rpc.proto as JSON under /v3): keys, transactions, leases and
// users. In this JSON bytes are base64, 64-bit numbers are text, and fields of value zero are missing. One call tries every
// endpoint once.

import type { JsonObject, JsonValue } from '../../../lib/json.ts';
import { field, isJsonObject, jsonObject, parseJson, stringifyJson } from '../../../lib/json.ts';
import type { HttpAnswer } from '../http.ts';
import { HttpStatusError, httpLines, httpRequest } from '../http.ts';
import { linkedTo } from '../linked.ts';
import type { EtcdOp } from './etcd-error.ts';
import { EtcdError, toEtcdError } from './etcd-error.ts';
import type { KeyValue, WatchNews } from './etcd-json.ts';
import { base64, newsOfLine, prefixEnd, readInt64, readKeyValues, readRevision } from './etcd-json.ts';
import type { TlsFiles } from './tls-files.ts';
import { readTlsFiles } from './tls-files.ts';

export interface GatewayOptions {
  /** At least one, http or https. */
  readonly endpoints: readonly URL[];
  readonly tls: TlsFiles;
  readonly user: { readonly name: string; readonly password: string } | undefined;
  /** Time limit of one call at one endpoint. */
  readonly timeoutMs: number;
}

/** A comparison or an operation of a transaction, in etcd's own JSON. */
export type Compare = JsonObject;
export type Operation = JsonObject;

export interface RangeResult {
  /** The store's revision to which the answer belongs. */
  readonly revision: bigint;
  readonly kvs: readonly KeyValue[];
}

export interface WatchReader {
  /** etcd accepted the watch. */
  onOpen(): void;
  onNews(news: WatchNews): void;
}

/** Values are some hundred bytes; the gateway's own limit for one answer is 4 MB. */
const PAGE_SIZE = 1000;
/** Without events etcd sends something only every ten minutes. TCP keepalive notices a dead peer much earlier. */
const WATCH_IDLE_MS = 15 * 60_000;

export class EtcdGateway {
  readonly #options: GatewayOptions;
  /** The endpoint that answered last. */
  #current = 0;
  #token: string | undefined;

  constructor(options: GatewayOptions) {
    this.#options = options;
  }

  /** The value of one key. */
  async get(key: string, signal: AbortSignal): Promise<KeyValue | undefined> {
    const answer = await this.#call({ op: 'range', object: key }, 'kv/range', { key: base64(key) }, signal);
    return readKeyValues(answer)[0];
  }

  /** Everything under a prefix at one revision, read in pages. */
  async list(prefix: string, signal: AbortSignal): Promise<RangeResult> {
    const kvs: KeyValue[] = [];
    let revision: bigint | undefined;
    let from = prefix;
    for (;;) {
      const page = { limit: String(PAGE_SIZE), ...(revision !== undefined && { revision: String(revision) }) };
      const range = { key: base64(from), range_end: base64(prefixEnd(prefix)), ...page };
      const answer = await this.#call({ op: 'range', object: prefix }, 'kv/range', range, signal);
      revision ??= readRevision(answer);
      const found = readKeyValues(answer);
      kvs.push(...found);
      const last = found.at(-1);
      if (last === undefined || field(answer, 'more') !== true) return { revision, kvs };
      from = `${last.key}\0`;
    }
  }

  /** Applies `then` if every comparison holds and returns the new revision; undefined when a comparison failed. */
  async transact(
    object: string,
    compare: readonly Compare[],
    then: readonly Operation[],
    signal: AbortSignal,
  ): Promise<bigint | undefined> {
    const body = { compare, success: then };
    const answer = await this.#call({ op: 'txn', object }, 'kv/txn', body, signal);
    return field(answer, 'succeeded') === true ? readRevision(answer) : undefined;
  }

  /** A new lease of at least `ttlSec` seconds; its id is decimal text. */
  async grantLease(ttlSec: number, signal: AbortSignal): Promise<string> {
    const op = { op: 'lease', object: 'grant' };
    const answer = await this.#call(op, 'lease/grant', { TTL: String(ttlSec) }, signal);
    return String(readInt64(answer, 'ID'));
  }

  /** Renews a lease; returns how many seconds it now lives, 0 when there is no such lease any more. */
  async keepLeaseAlive(id: string, signal: AbortSignal): Promise<number> {
    const answer = await this.#call({ op: 'lease', object: `keepalive ${id}` }, 'lease/keepalive', { ID: id }, signal);
    const result = field(answer, 'result');
    return isJsonObject(result) ? Number(readInt64(result, 'TTL')) : 0;
  }

  /** Ends a lease, which deletes its keys; no error when the lease is gone already. */
  async revokeLease(id: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#call({ op: 'lease', object: `revoke ${id}` }, 'lease/revoke', { ID: id }, signal);
    } catch (error) {
      if (!(error instanceof EtcdError && error.code === 'NOT_FOUND')) throw error;
    }
  }

  /**
   * Reports changes under `prefix` from `revision` on, until the stream ends, `signal` aborts, or `lifeMs` have passed. Rejects
   * with EtcdError; its code is `compacted` when etcd no longer has `revision`. An etcd member without a leader ends the watch.
   */
  async watch(
    prefix: string,
    revision: bigint,
    reader: WatchReader,
    lifeMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    const range = { key: base64(prefix), range_end: base64(prefixEnd(prefix)) };
    const body = jsonObject({
      create_request: jsonObject({ ...range, start_revision: String(revision), progress_notify: true }),
    });
    const op = { op: 'watch', object: prefix };
    const life = linkedTo(signal);
    const timer = setTimeout(life.abort, lifeMs);
    try {
      await this.#atSomeEndpoint(op, signal, async (endpoint) => {
        const call = await this.#prepare(endpoint, 'watch', body, life.signal);
        // `hasleader` is gRPC metadata: etcd ends the watch when the member has no leader (WithRequireLeader in its client).
        const headers = { ...call.headers, 'grpc-metadata-hasleader': 'true' };
        let isOpen = false;
        const onLine = (line: string): void => {
          const news = newsOfLine(line, op, endpoint.origin);
          // The first line says whether the watch was accepted; a refusal throws.
          if (!isOpen) reader.onOpen();
          isOpen = true;
          if (news !== undefined) reader.onNews(news);
        };
        await httpLines({ ...call, headers }, { onLine, idleMs: WATCH_IDLE_MS });
      });
    } catch (error) {
      if (!life.signal.aborted) throw error;
    } finally {
      clearTimeout(timer);
      life.unlink();
    }
  }

  async #call(
    op: EtcdOp,
    path: string,
    body: { readonly [key: string]: JsonValue },
    signal: AbortSignal,
  ): Promise<JsonObject> {
    const text = jsonObject(body);
    return await this.#atSomeEndpoint(op, signal, async (endpoint) => {
      const answer = await httpRequest(await this.#prepare(endpoint, path, text, signal));
      return parseAnswer(answer);
    });
  }

  /** Tries the endpoint that answered last, then the others. */
  async #atSomeEndpoint<T>(op: EtcdOp, signal: AbortSignal, body: (endpoint: URL) => Promise<T>): Promise<T> {
    const { endpoints } = this.#options;
    let failure: unknown;
    for (let tried = 0; tried < endpoints.length; tried++) {
      const endpoint = endpoints[this.#current % endpoints.length];
      if (endpoint === undefined) break;
      try {
        return await this.#loggedIn(op, endpoint, body);
      } catch (error) {
        failure = error;
        if (signal.aborted || !(error instanceof EtcdError && error.isElsewhere)) throw error;
        this.#current = (this.#current + 1) % endpoints.length;
      }
    }
    throw failure;
  }

  /** Calls `body`; if the login is no longer valid, logs in again and tries once more. */
  async #loggedIn<T>(op: EtcdOp, endpoint: URL, body: (endpoint: URL) => Promise<T>): Promise<T> {
    const attempt = () => body(endpoint).catch((error) => Promise.reject(toEtcdError(error, op, endpoint.origin)));
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof EtcdError && error.isLoginOver) || this.#options.user === undefined) throw error;
      this.#token = undefined;
      return await attempt();
    }
  }

  async #prepare(endpoint: URL, path: string, body: JsonObject, signal: AbortSignal) {
    const { user, tls, timeoutMs } = this.#options;
    const options = endpoint.protocol === 'https:' ? readTlsFiles(tls) : {};
    const call = { method: 'POST' as const, url: apiUrl(endpoint, path), options, timeoutMs, signal };
    if (user !== undefined) this.#token ??= await this.#logIn(endpoint, options, signal);
    const headers = { 'content-type': 'application/json', ...(this.#token && { authorization: this.#token }) };
    return { ...call, headers, body: stringifyJson(body) };
  }

  async #logIn(endpoint: URL, options: object, signal: AbortSignal): Promise<string> {
    const { user, timeoutMs } = this.#options;
    const body = stringifyJson(jsonObject({ name: user?.name, password: user?.password }));
    const url = apiUrl(endpoint, 'auth/authenticate');
    try {
      const answer = parseAnswer(await httpRequest({ method: 'POST', url, options, body, timeoutMs, signal }));
      const token = field(answer, 'token');
      return typeof token === 'string' ? token : '';
    } catch (thrown) {
      const error = toEtcdError(thrown, { op: 'log in', object: user?.name ?? '' }, endpoint.origin);
      // This answer means that authentication is off: then no token is needed. etcd's own client does the same.
      if (error instanceof EtcdError && error.code === 'FAILED_PRECONDITION') return '';
      throw error;
    }
  }
}

function apiUrl(endpoint: URL, path: string): URL {
  return new URL(`${endpoint.pathname.replace(/\/$/, '')}/v3/${path}`, endpoint);
}

function parseAnswer({ status, body }: HttpAnswer): JsonObject {
  if (status < 200 || status > 299) throw new HttpStatusError(status, body);
  let answer: JsonValue;
  try {
    answer = parseJson(body);
  } catch {
    throw new HttpStatusError(status, body);
  }
  if (!isJsonObject(answer)) throw new HttpStatusError(status, body);
  return answer;
}
