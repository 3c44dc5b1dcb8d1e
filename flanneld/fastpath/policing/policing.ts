// Follows who polices pods' packets: looks again when rules of others have changed, and every 5 s for what causes no events.

import { errorText } from '../../../lib/errors.ts';
import { readGeneration } from '../../../lib/netfilter/nftables.ts';
import { whoPolices } from './judge.ts';
import { type PolicingSources, readPolicing, readTcpLoose } from './read.ts';

/** Legacy iptables and IPsec tell nothing of their changes. */
const LOOK_MS = 5000;

export class Policing {
  readonly #sources: PolicingSources;
  readonly #now: () => number;
  #generation: number | undefined;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #mustLook = true;
  #answer: string | undefined;

  constructor(sources: PolicingSources, now: () => number) {
    this.#sources = sources;
    this.#now = now;
  }

  /** Call when rules of others may have changed. */
  changed(): void {
    this.#mustLook = true;
  }

  /** Who polices; undefined when nobody does. When it cannot be said, that is the reason. Never throws. */
  who(): string | undefined {
    try {
      const generation = readGeneration(this.#sources.netfilter);
      const isOld = this.#now() - this.#lookedAtMs >= LOOK_MS;
      // The setting has no event either, but costs a single read.
      const isStrict = readTcpLoose(this.#sources.sys) === false;
      if (!this.#mustLook && !isOld && !isStrict && generation === this.#generation) return this.#answer;
      this.#mustLook = false;
      this.#lookedAtMs = this.#now();
      this.#generation = undefined;
      this.#answer = whoPolices(readPolicing(this.#sources));
      this.#generation = generation;
      return this.#answer;
    } catch (error) {
      this.#mustLook = true;
      return `it cannot be seen who polices pods’ packets: ${errorText(error)}`;
    }
  }
}
