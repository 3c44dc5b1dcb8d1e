// Keeps track of rules that filter pods' packets. Everything is read again when rules of others have changed, and every 3 s where changes
// cause no events.

import { errorText } from '../../../lib/errors.ts';
import { readGeneration } from '../../../lib/netfilter/nftables.ts';
import { countXfrmPolicies } from '../../../lib/xfrm/policies.ts';
import { whoPolices, whoPolicesTunnel } from './judge.ts';
import { type PolicingSources, readPolicing, readTcpLoose } from './read.ts';

/** Legacy iptables sends no events; its rules must be noticed within 5 s. */
const LOOK_MS = 3000;

/** Why the fast path must be off, and why only the tunnel's device may encapsulate. */
export interface Policed {
  readonly pods?: string | undefined;
  readonly tunnel?: string | undefined;
}

export class Policing {
  readonly #sources: PolicingSources;
  readonly #now: () => number;
  #generation: number | undefined;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #mustLook = true;
  #answer: Policed = {};

  constructor(sources: PolicingSources, now: () => number) {
    this.#sources = sources;
    this.#now = now;
  }

  /** Call when rules of others may have changed. */
  changed(): void {
    this.#mustLook = true;
  }

  /** The reasons at present. When the rules cannot be read, that is the reason. Never throws. */
  who(): Policed {
    try {
      const generation = readGeneration(this.#sources.netfilter);
      const isOld = this.#now() - this.#lookedAtMs >= LOOK_MS;
      // These send no events either, but cost little to read.
      const { sys } = this.#sources;
      const isStrict = readTcpLoose(sys) === false || countXfrmPolicies(sys) > 0;
      if (!this.#mustLook && !isOld && !isStrict && generation === this.#generation) return this.#answer;
      this.#mustLook = false;
      this.#lookedAtMs = this.#now();
      this.#generation = undefined;
      const facts = readPolicing(this.#sources);
      this.#answer = { pods: whoPolices(facts), tunnel: whoPolicesTunnel(facts) };
      this.#generation = generation;
      return this.#answer;
    } catch (error) {
      this.#mustLook = true;
      return { pods: `it could not be read whether other programs filter pods’ packets: ${errorText(error)}` };
    }
  }
}
