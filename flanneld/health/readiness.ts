// The state behind /readyz: a required check for each part of this node's own data plane, and the failing peers.

import { errorText } from '../../lib/errors.ts';
import type { Check } from './http-server.ts';
import type { PeerProblem } from './peer-problem.ts';

const NOT_YET = 'not done yet';

export class Readiness {
  readonly #parts = new Map<string, string | undefined>();
  /** Says what the start waits for; undefined after `expect` has named the parts. */
  #waitsFor: (() => string) | undefined = () => NOT_YET;
  #peers: () => readonly PeerProblem[] = () => [];
  readonly #more = new Map<string, () => readonly Check[]>();

  /** Call before `expect`. `what` says what the start waits for, and is called for every request. */
  startWaits(what: () => string): void {
    this.#waitsFor = what;
  }

  /** Names the parts that must work. Their checks replace the one named `start`. */
  expect(parts: readonly string[], peers: () => readonly PeerProblem[]): void {
    this.#waitsFor = undefined;
    this.#parts.clear();
    for (const part of parts) this.#parts.set(part, NOT_YET);
    this.#peers = peers;
  }

  /** Adds further lines; `more` is called for every request. A later call with the same `from` replaces it. */
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
    // The line about the start already names the store's troubles.
    if (this.#waitsFor !== undefined) return [{ name: 'start', problem: this.#waitsFor(), required: true }, ...own];
    const peers = this.#peers().map(({ key, reason }) => ({ name: `peer ${key}`, problem: reason, required: false }));
    return [...own, ...peers, ...[...this.#more.values()].flatMap((more) => more())];
  }
}
