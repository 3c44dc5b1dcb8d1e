// What /readyz answers from: a required check for each part of this node's own data plane, and the peers that fail.

import { errorText } from '../../lib/errors.ts';
import type { Check } from './http-server.ts';
import type { PeerProblem } from './peer-problem.ts';

const NOT_YET = 'not done yet';

export class Readiness {
  readonly #parts = new Map<string, string | undefined>();
  /** What is waited for; undefined once the parts are named. */
  #waitsFor: (() => string) | undefined = () => NOT_YET;
  #peers: () => readonly PeerProblem[] = () => [];
  readonly #more = new Map<string, () => readonly Check[]>();

  /** Before `expect`: what the start waits for, asked whenever somebody reads. */
  startWaits(what: () => string): void {
    this.#waitsFor = what;
  }

  /** Names the parts that must be fine, from now on instead of `start`. */
  expect(parts: readonly string[], peers: () => readonly PeerProblem[]): void {
    this.#waitsFor = undefined;
    this.#parts.clear();
    for (const part of parts) this.#parts.set(part, NOT_YET);
    this.#peers = peers;
  }

  /** Further lines, asked for whenever somebody reads; `from` names whose they are, and what is replaced by the next call. */
  show(from: string, more: () => readonly Check[]): void {
    this.#more.set(from, more);
  }

  fine(part: string): void {
    this.#parts.set(part, undefined);
  }

  failed(part: string, error: unknown): void {
    this.#parts.set(part, errorText(error));
  }

  isFine(part: string): boolean {
    return this.#parts.has(part) && this.#parts.get(part) === undefined;
  }

  checks(): Check[] {
    const own = [...this.#parts].map(([name, problem]) => ({ name, problem, required: true }));
    // What is waited for has the store's troubles in it already.
    if (this.#waitsFor !== undefined) return [{ name: 'start', problem: this.#waitsFor(), required: true }, ...own];
    const peers = this.#peers().map(({ key, reason }) => ({ name: `peer ${key}`, problem: reason, required: false }));
    return [...own, ...peers, ...[...this.#more.values()].flatMap((more) => more())];
  }
}
