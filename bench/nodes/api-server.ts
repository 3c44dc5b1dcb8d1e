// A real kube-apiserver with thousands of Nodes, some of which change all the time.

import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { type KubeApiserver, startKubeApiserver } from '../../test/support/kube-apiserver.ts';
import { annotationsOf, conditions, nodeName, nodeObject, publicIpOf } from './node-object.ts';

/** How many Nodes are created in parallel. */
const AT_ONCE = 8;
/** The share of the Nodes that change in a minute. */
const CHANGED_SHARE = 0.01;

export class NodesCluster {
  readonly server: KubeApiserver;
  #count = 0;
  /** How often each Node has moved. */
  readonly #moves = new Map<number, number>();
  #next: number;
  readonly #first: number;

  private constructor(server: KubeApiserver, first: number) {
    this.server = server;
    this.#first = first;
    this.#next = first;
  }

  /** Nodes with numbers below `first` belong to real lab nodes and are never changed. */
  static async start(first: number): Promise<NodesCluster> {
    return new NodesCluster(await startKubeApiserver(), first);
  }

  get count(): number {
    return this.#count;
  }

  /** Creates Nodes until there are `count`, and calls `onNode` for each. Rejects with the server's error. */
  async grow(count: number, onNode: () => void): Promise<void> {
    const { server, options } = await this.server.admin.prepare();
    // Connections are kept open, because a new one for each of thousands of requests would take minutes.
    const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
    try {
      const makeNodes = async (): Promise<void> => {
        while (this.#count < count) {
          this.#count += 1;
          await post(new URL('/api/v1/nodes', server), { ...options, agent }, nodeObject(this.#count));
          onNode();
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, makeNodes));
    } finally {
      agent.destroy();
    }
  }

  /**
   * Changes one Node in a hundred each minute, one after the other, for `durationMs`. Every second change is a kubelet's
   * heartbeat; the others move a node to another address. Resolves with the address the last one moved to.
   */
  async change(durationMs: number): Promise<string> {
    const gapMs = 60_000 / (this.#count * CHANGED_SHARE);
    const endAt = performance.now() + durationMs;
    let last = '';
    for (let done = 0, dueAt = performance.now(); dueAt < endAt; done++, dueAt += gapMs) {
      await sleep(Math.max(0, dueAt - performance.now()));
      const node = this.#takeNext();
      if (done % 2 === 1) await this.#beat(node);
      else last = await this.#move(node);
    }
    await sleep(Math.max(0, endAt - performance.now()));
    return last;
  }

  #takeNext(): number {
    const node = this.#next;
    // A step of 997, which is a prime, makes sure that Nodes on every page of the list change.
    this.#next = this.#first + ((node - this.#first + 997) % (this.#count - this.#first + 1));
    return node;
  }

  async #move(node: number): Promise<string> {
    const moves = (this.#moves.get(node) ?? 0) + 1;
    this.#moves.set(node, moves);
    await this.#patch(`/api/v1/nodes/${nodeName(node)}`, { metadata: { annotations: annotationsOf(node, moves) } });
    return publicIpOf(node, moves);
  }

  async #beat(node: number): Promise<void> {
    await this.#patch(`/api/v1/nodes/${nodeName(node)}/status`, { status: { conditions: conditions(new Date()) } });
  }

  async #patch(path: string, body: object): Promise<void> {
    await this.server.must({ method: 'PATCH', path, body, contentType: 'application/strategic-merge-patch+json' });
  }
}

async function post(url: URL, options: object, body: object): Promise<void> {
  const text = JSON.stringify(body);
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
  await new Promise<void>((resolve, reject) => {
    const asked = request(url, { ...options, method: 'POST', headers }, (response) => {
      let answer = '';
      response.on('data', (chunk: Buffer) => {
        if (answer.length < 500) answer += chunk.toString('utf8');
      });
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode = 0 } = response;
        if (statusCode === 201) resolve();
        else reject(new Error(`POST ${url.pathname}: ${statusCode} ${answer.slice(0, 500)}`));
      });
    });
    asked.on('error', reject);
    asked.end(text);
  });
}
