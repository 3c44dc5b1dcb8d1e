// The calls to the Kubernetes API that `kubectl weft` makes: get, list in pages, create and delete.

import { errorText } from '../../../lib/errors.ts';
import { HttpError, httpRequest } from '../../subnet/http.ts';
import { type KubeAccess, KubeError } from '../../subnet/kube/api.ts';

/** A JSON object from the API server. Only named keys are read, each with a check of its type. */
export type Fields = Readonly<Record<string, unknown>>;

/** Objects in one page of a list. */
const PAGE = 500;

interface Call {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: object;
  /** The requested media type, if it is not JSON. */
  readonly accept?: string;
}

export class ClusterApi {
  readonly access: KubeAccess;
  readonly #timeoutMs: number;

  constructor(access: KubeAccess, timeoutMs: number) {
    this.access = access;
    this.#timeoutMs = timeoutMs;
  }

  /** All objects of a list, read page by page. */
  async list(path: string, query: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Fields[]> {
    const items: Fields[] = [];
    let next = '';
    do {
      const page = { ...query, limit: String(PAGE), ...(next !== '' && { continue: next }) };
      const list = await this.#json({ method: 'GET', path: `${path}?${new URLSearchParams(page)}` }, signal);
      items.push(...listOf(list['items']));
      next = textOf(fieldsOf(list['metadata'])['continue']);
    } while (next !== '');
    return items;
  }

  async get(path: string, signal: AbortSignal): Promise<Fields> {
    return await this.#json({ method: 'GET', path }, signal);
  }

  async create(path: string, body: object, signal: AbortSignal): Promise<Fields> {
    return await this.#json({ method: 'POST', path, body }, signal);
  }

  /** Also resolves when the object does not exist. */
  async remove(path: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#json({ method: 'DELETE', path }, signal);
    } catch (error) {
      if (!(error instanceof KubeError && error.status === 404)) throw error;
    }
  }

  /** For an answer that is plain text, such as a log. */
  async text(path: string, signal: AbortSignal): Promise<string> {
    return await this.#ask({ method: 'GET', path, accept: '*/*' }, signal);
  }

  async #json(call: Call, signal: AbortSignal): Promise<Fields> {
    const text = await this.#ask(call, signal);
    try {
      return fieldsOf(JSON.parse(text));
    } catch (error) {
      throw new KubeError(call.method.toLowerCase(), call.path, 0, 'bad answer', 'the answer is no JSON', error);
    }
  }

  async #ask({ method, path, body, accept = 'application/json' }: Call, signal: AbortSignal): Promise<string> {
    const op = method.toLowerCase();
    const object = path.split('?')[0] ?? path;
    const { server, options } = await this.#prepare(op, object);
    const url = new URL(server.pathname.replace(/\/$/, '') + path, server);
    const content = body === undefined ? {} : { body: JSON.stringify(body) };
    const headers = { accept, 'user-agent': 'kubectl-weft', 'content-type': 'application/json' };
    try {
      const call = { method, url, headers, options, timeoutMs: this.#timeoutMs, signal, ...content };
      const answer = await httpRequest(call);
      if (answer.status >= 200 && answer.status <= 299) return answer.body;
      throw refusal(op, object, answer.status, answer.body);
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      throw new KubeError(op, object, 0, error.code, error.message, error);
    }
  }

  async #prepare(op: string, object: string): ReturnType<KubeAccess['prepare']> {
    try {
      return await this.access.prepare();
    } catch (error) {
      throw new KubeError(op, object, 0, 'no credentials', errorText(error), error);
    }
  }
}

/** The error for a refused request, with the server's message: `403 Forbidden (pods is forbidden: …)`. */
export function refusal(op: string, object: string, status: number, body: string): KubeError {
  let answer: Fields = {};
  try {
    answer = fieldsOf(JSON.parse(body));
  } catch {
    answer = {}; // a proxy in between has sent its own text
  }
  const code = `${status} ${textOf(answer['reason'])}`.trim();
  return new KubeError(op, object, status, code, (textOf(answer['message']) || body).slice(0, 300));
}

/** The value if it is an object; else an object without fields. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

/** The objects of a list; empty when it is not a list. */
export function listOf(value: unknown): Fields[] {
  return Array.isArray(value) ? value.map(fieldsOf) : [];
}

/** The texts of a list; empty when it is not a list. */
export function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}

/** The value if it is a text; else an empty text. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
