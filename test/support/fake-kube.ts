// An API server for Nodes in this process, for faults that a real one does not produce on demand. Apart from these it behaves like
// a real one as far as the agent can notice: rising versions, pages, watches with a history, 410, patches.

import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { KubeAccess } from '../../flanneld/subnet/kube/api.ts';

interface Metadata {
  name: string;
  uid: string;
  resourceVersion: string;
  creationTimestamp: string;
  annotations: Record<string, string>;
}

export interface FakeNode {
  apiVersion: 'v1';
  kind: 'Node';
  metadata: Metadata;
  spec: Record<string, unknown>;
  status: { conditions: Record<string, string>[] };
}

interface HistoryEntry {
  readonly version: number;
  readonly type: string;
  readonly node: FakeNode;
}

interface Watcher {
  readonly response: ServerResponse;
  readonly isPartial: boolean;
}

type Body = Record<string, unknown>;

export interface SeenRequest {
  readonly method: string;
  readonly url: URL;
  readonly contentType: string;
  readonly body: Body;
}

export class FakeKube {
  readonly nodes = new Map<string, FakeNode>();
  readonly events: Body[] = [];
  readonly requests: SeenRequest[] = [];
  readonly pods = new Map<string, Body>();
  /** Called for each request. When it returns true, it has answered the request itself. */
  intercept: (request: SeenRequest, response: ServerResponse) => boolean = () => false;
  readonly #history: HistoryEntry[] = [];
  readonly #watchers = new Set<Watcher>();
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  #version = 100;
  #compactedTo = 0;
  #uids = 0;
  #url = new URL('http://127.0.0.1');

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    if (typeof address !== 'object' || address === null) throw new Error('no address');
    this.#url = new URL(`http://127.0.0.1:${address.port}`);
    return this;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await once(this.#server.close(), 'close');
  }

  get access(): KubeAccess {
    return { prepare: () => Promise.resolve({ server: this.#url, options: {} }) };
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  /** Adds a Node. An empty `podCidrs` means that none is assigned yet. */
  addNode(name: string, podCidrs: readonly string[], annotations: Record<string, string> = {}): FakeNode {
    const [podCIDR] = podCidrs;
    const spec = podCIDR === undefined ? {} : { podCIDR, podCIDRs: podCidrs };
    const number = ++this.#uids;
    // The Nodes' creation times are one second apart, so that their order is the order in which they were added.
    const creationTimestamp = new Date(Date.UTC(2026, 0, 1) + number * 1000).toISOString().replace('.000Z', 'Z');
    const metadata = { name, uid: `uid-${number}`, resourceVersion: '', creationTimestamp, annotations };
    return this.store('ADDED', { apiVersion: 'v1', kind: 'Node', metadata, spec, status: { conditions: [] } });
  }

  change(name: string, change: (node: FakeNode) => void): void {
    const node = structuredClone(this.nodes.get(name));
    if (node === undefined) throw new Error(`no node ${name}`);
    change(node);
    this.store('MODIFIED', node);
  }

  deleteNode(name: string): void {
    const node = this.nodes.get(name);
    if (node === undefined) return;
    this.nodes.delete(name);
    this.store('DELETED', structuredClone(node));
  }

  /** Gives the Node the next version. All watchers receive it, unless `isTold` is false. */
  store(type: string, node: FakeNode, isTold = true): FakeNode {
    node.metadata.resourceVersion = String(++this.#version);
    if (type !== 'DELETED') this.nodes.set(node.metadata.name, node);
    this.#history.push({ version: this.#version, type, node });
    if (isTold) for (const watcher of this.#watchers) sendEvent(watcher, type, node);
    return node;
  }

  /** Drops the history so far, so that a watch from an earlier version gets 410. */
  compact(): void {
    this.#compactedTo = this.#version + 1;
    this.#version++;
  }

  endWatches(): void {
    for (const { response } of this.#watchers) response.end();
  }

  cutWatches(): void {
    for (const { response } of this.#watchers) response.destroy();
  }

  /** Sends this text unchanged to all watchers. */
  sendRaw(text: string): void {
    for (const { response } of this.#watchers) response.write(text);
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString('utf8');
    const request: SeenRequest = {
      method: message.method ?? '',
      url: new URL(message.url ?? '/', this.#url),
      contentType: message.headers['content-type'] ?? '',
      body: text === '' ? {} : JSON.parse(text),
    };
    this.requests.push(request);
    if (!this.intercept(request, response)) this.#route(message, request, response);
  }

  #route(message: IncomingMessage, request: SeenRequest, response: ServerResponse): void {
    const { pathname, searchParams } = request.url;
    const node = /^\/api\/v1\/nodes\/([^/]+)(\/status)?$/.exec(pathname);
    const pod = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)$/.exec(pathname);
    if (pathname === '/api/v1/nodes' && request.method === 'POST') this.#create(request, response);
    else if (pathname === '/api/v1/nodes' && searchParams.has('watch')) this.#watch(message, searchParams, response);
    else if (pathname === '/api/v1/nodes') this.#list(searchParams, response);
    else if (node) this.#one(request, node[1] ?? '', response);
    else if (pod && this.pods.has(`${pod[1]}/${pod[2]}`)) answer(response, this.pods.get(`${pod[1]}/${pod[2]}`));
    else if (pathname.endsWith('/events')) {
      this.events.push(request.body);
      answer(response, request.body);
    } else fail(response, 404, 'NotFound', pathname);
  }

  #create({ body }: SeenRequest, response: ServerResponse): void {
    const { metadata, spec } = body as unknown as FakeNode;
    const cidrs = spec['podCIDRs'];
    answer(response, this.addNode(metadata.name, Array.isArray(cidrs) ? cidrs : [], metadata.annotations));
  }

  #one({ method, body, contentType }: SeenRequest, name: string, response: ServerResponse): void {
    const node = this.nodes.get(name);
    const isMerge = contentType.endsWith('merge-patch+json');
    if (node === undefined) fail(response, 404, 'NotFound', `nodes "${name}" not found`);
    else if (method === 'PATCH' && !isMerge) fail(response, 415, 'UnsupportedMediaType', contentType);
    else {
      if (method === 'DELETE') this.deleteNode(name);
      if (method === 'PATCH') this.change(name, (changed) => patch(changed, body as Partial<FakeNode>));
      answer(response, this.nodes.get(name) ?? node);
    }
  }

  #list(query: URLSearchParams, response: ServerResponse): void {
    const limit = Number(query.get('limit') ?? 1000);
    const [version, start] = (query.get('continue') ?? `${this.#version}:0`).split(':').map(Number);
    if ((version ?? 0) < this.#compactedTo && query.has('continue')) {
      fail(response, 410, 'Expired', 'The provided continue parameter is too old');
      return;
    }
    const all = [...this.nodes.values()];
    const end = (start ?? 0) + limit;
    const next = end < all.length ? `${version}:${end}` : '';
    const items = all.slice(start, end).map(({ kind: _, apiVersion: __, ...item }) => item);
    answer(response, {
      kind: 'NodeList',
      metadata: { resourceVersion: String(version), ...(next && { continue: next }) },
      items,
    });
  }

  #watch(message: IncomingMessage, query: URLSearchParams, response: ServerResponse): void {
    const from = Number(query.get('resourceVersion'));
    const isPartial = (message.headers.accept ?? '').startsWith('application/json;as=PartialObjectMetadata;');
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const watcher = { response, isPartial };
    if (from < this.#compactedTo) {
      const status = { kind: 'Status', code: 410, reason: 'Expired', message: `too old resource version: ${from}` };
      response.end(`${JSON.stringify({ type: 'ERROR', object: status })}\n`);
      return;
    }
    for (const { version, type, node } of this.#history) if (version > from) sendEvent(watcher, type, node);
    this.#watchers.add(watcher);
    response.once('close', () => this.#watchers.delete(watcher));
  }
}

function patch(node: FakeNode, { metadata, status, spec }: Partial<FakeNode>): void {
  for (const [key, value] of Object.entries(metadata?.annotations ?? {})) {
    if (value === null) delete node.metadata.annotations[key];
    else node.metadata.annotations[key] = value;
  }
  Object.assign(node.spec, spec);
  for (const condition of status?.conditions ?? []) {
    const others = node.status.conditions.filter((each) => each['type'] !== condition['type']);
    node.status.conditions = [...others, condition];
  }
}

export function watchLine(type: string, node: FakeNode, isPartial = true): string {
  const { kind, apiVersion, metadata } = node;
  const partial = { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
  return `${JSON.stringify({ type, object: isPartial ? partial : { ...node, kind, apiVersion } })}\n`;
}

function sendEvent({ response, isPartial }: Watcher, type: string, node: FakeNode): void {
  response.write(watchLine(type, node, isPartial));
}

function answer(response: ServerResponse, object: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(object));
}

export function fail(response: ServerResponse, code: number, reason: string, message: string): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ kind: 'Status', status: 'Failure', code, reason, message }));
}
