// Records what happened to every packet of a flow. There is one packet for each tick, whose number is the packet's sequence number.

import type { FlowProgress, FlowResult, Outage } from './spec.ts';

/** The state of a tick whose packet has not been sent. */
const SENT = 1;
const RECEIVED = 2;
const FIRST_TICKS = 65_536;
/** So many outages are described one by one. Those after them are only counted. */
const MAX_OUTAGES = 100;

/** A series of ticks at which no packet arrived and at least one was sent. */
interface Run {
  readonly from: number;
  readonly ticks: number;
  readonly lost: number;
}

export class FlowLedger {
  readonly #tickMs: number;
  readonly #first: number;
  #states = new Uint8Array(FIRST_TICKS);
  /** The number of ticks so far, including those at which nothing was sent. */
  #ticks = 0;
  #sent = 0;
  #received = 0;
  #duplicates = 0;
  #wrongSource = 0;
  #refused = 0;
  #ownGapMs = 0;

  /** Counts from the tick `first` on. */
  constructor(tickMs: number, first: number) {
    this.#tickMs = tickMs;
    this.#first = first;
  }

  /** The packet `sequence` was handed to the kernel. The probe did not run at the ticks between the last packet and this one. */
  noteSent(sequence: number): void {
    const tick = sequence - this.#first;
    while (tick >= this.#states.length) {
      const larger = new Uint8Array(this.#states.length * 2);
      larger.set(this.#states);
      this.#states = larger;
    }
    this.#states[tick] = SENT;
    this.#ticks = tick + 1;
    this.#sent += 1;
  }

  noteRefused(): void {
    this.#refused += 1;
  }

  noteReceived(sequence: number): void {
    const tick = sequence - this.#first;
    if (this.#states[tick] === RECEIVED) this.#duplicates += 1;
    if (this.#states[tick] !== SENT) return;
    this.#states[tick] = RECEIVED;
    this.#received += 1;
  }

  noteWrongSource(): void {
    this.#wrongSource += 1;
  }

  /** Notes that the probe ran again after `gapMs`. */
  noteGap(gapMs: number): void {
    this.#ownGapMs = Math.max(this.#ownGapMs, gapMs);
  }

  get allArrived(): boolean {
    return this.#received === this.#sent;
  }

  progress(): FlowProgress {
    let newest = this.#ticks - 1;
    // Leaves out packets that may still be under way.
    while (newest >= 0 && this.#states[newest] !== RECEIVED) newest -= 1;
    let inRow = 0;
    for (let tick = newest; tick >= 0 && this.#states[tick] !== SENT; tick -= 1) {
      if (this.#states[tick] === RECEIVED) inRow += 1;
    }
    // When nothing has arrived for a while, the packets count as lost and not as delayed.
    if ((this.#ticks - 1 - newest) * this.#tickMs > 20) inRow = 0;
    return { sent: this.#sent, received: this.#received, inRow };
  }

  result(): FlowResult {
    const runs = this.#runs();
    const outages: Outage[] = runs.map(({ from, ticks, lost }) => ({
      fromMs: from * this.#tickMs,
      lastedMs: ticks * this.#tickMs,
      lost,
    }));
    return {
      durationMs: this.#ticks * this.#tickMs,
      sent: this.#sent,
      received: this.#received,
      lost: this.#sent - this.#received,
      lostAtMost: runs.reduce((sum, { ticks }) => sum + ticks, 0),
      longestLossMs: Math.max(0, ...outages.map(({ lastedMs }) => lastedMs)),
      outages: outages.slice(0, MAX_OUTAGES),
      ownGapMs: this.#ownGapMs,
      unsent: this.#ticks - this.#sent,
      wrongSource: this.#wrongSource,
      refused: this.#refused,
      duplicates: this.#duplicates,
    };
  }

  /**
   * Finds the outages. A tick at which the probe did not run counts only next to a lost packet, because its packet might have been
   * lost, too.
   */
  #runs(): Run[] {
    const runs: Run[] = [];
    let from = 0;
    let lost = 0;
    for (let tick = 0; tick <= this.#ticks; tick += 1) {
      const state = tick === this.#ticks ? RECEIVED : this.#states[tick];
      if (state === SENT) lost += 1;
      if (state !== RECEIVED) continue;
      if (lost > 0) runs.push({ from, ticks: tick - from, lost });
      from = tick + 1;
      lost = 0;
    }
    return runs;
  }
}
