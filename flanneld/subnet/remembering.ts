// A subnet manager that goes on with what the cluster state last said when it does not answer at start. Everything
// asked for is still asked for behind it: what comes late counts, and is compared with what was used.

import { errorText, OpError } from '../../lib/errors.ts';
import { formatPrefix } from '../../lib/ip.ts';
import type { NetConf } from '../../lib/net-conf.ts';
import { parseNetConf } from '../../lib/net-conf.ts';
import type { Logger } from '../health/log.ts';
import { type StoreTrouble, StoreTroubles } from '../health/store-troubles.ts';
import { type Linked, linkedTo } from './linked.ts';
import type { Lease, LeaseAttributes, LeaseSnapshot, NodeAddresses, SubnetManager } from './manager.ts';
import type { SavedState } from './saved-state.ts';

export interface Memory {
  /** What was saved by an earlier run. */
  readonly earlier: SavedState | undefined;
  save(state: SavedState): void;
  flush(): Promise<void>;
}

export interface RememberingOptions {
  readonly store: string;
  readonly memory: Memory;
  /** How long the cluster state may take before the memory answers. */
  readonly patienceMs: number;
  readonly log: Logger;
}

/** For what is asked while the cluster state is known to be away. */
const SHORT_PATIENCE_MS = 100;

/** `makeInner` gets a function to call with the text of the configuration, where the store holds it. */
export function createRememberingManager(
  makeInner: (onNetConf: (text: string) => void) => SubnetManager,
  options: RememberingOptions,
): SubnetManager {
  return new RememberingManager(makeInner, options);
}

class RememberingManager implements SubnetManager {
  readonly #inner: SubnetManager;
  readonly #options: RememberingOptions;
  /** What the memory stands in for. */
  readonly #troubles = new StoreTroubles();
  #state: SavedState;
  /** It kept silent once: whoever asks next need not wait as long again. */
  #isAway = false;
  /** What was asked for behind an answer from memory failed, or came out differently: the agent must start anew. */
  readonly #failed: Promise<never>;
  #fail: (error: unknown) => void = () => undefined;
  /** The latest lease asked for. */
  #asking: { readonly ending: Linked; readonly ended: Promise<unknown> } | undefined;

  constructor(makeInner: (onNetConf: (text: string) => void) => SubnetManager, options: RememberingOptions) {
    this.#options = options;
    const { earlier } = options.memory;
    this.#state = { store: options.store, netConf: earlier?.netConf, own: earlier?.own, snapshot: earlier?.snapshot };
    this.#failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.#failed.catch(() => undefined); // heard by watch
    this.#inner = makeInner((netConf) => this.#remember({ netConf }));
  }

  #remember(news: Partial<SavedState>): void {
    this.#state = { ...this.#state, ...news };
    this.#options.memory.save(this.#state);
  }

  async networkConfig(signal: AbortSignal): Promise<NetConf> {
    const { netConf } = this.#state;
    const recall = (): NetConf | undefined => (netConf === undefined ? undefined : parseNetConf(netConf).config);
    return await this.#patiently('network configuration', this.#inner.networkConfig(signal), recall, () => undefined);
  }

  async nodeAddresses(signal: AbortSignal): Promise<NodeAddresses> {
    if (this.#inner.nodeAddresses === undefined) return {};
    const { earlier } = this.#options.memory;
    const recall = (): NodeAddresses | undefined => earlier && (earlier.snapshot?.nodeAddresses ?? {});
    return await this.#patiently('node addresses', this.#inner.nodeAddresses(signal), recall, () => undefined);
  }

  async acquire(attributes: LeaseAttributes, signal: AbortSignal): Promise<Lease> {
    const { own } = this.#state;
    // One still asked for behind an answer from memory would tell peers where this node was before.
    this.#asking?.ending.abort();
    await this.#asking?.ended;
    const ending = linkedTo(signal);
    const acquired = this.#inner.acquire(attributes, ending.signal).then((lease) => {
      this.#remember({ own: lease });
      return lease;
    });
    this.#asking = { ending, ended: acquired.catch(() => undefined).finally(ending.unlink) };
    const recall = (): Lease | undefined => own && { ...own, ...this.#overwritten(attributes) };
    const check = (lease: Lease, recalled: Lease): OpError | undefined => {
      if (subnetsOf(lease) === subnetsOf(recalled)) return undefined;
      const detail = `went on with ${subnetsOf(recalled)} while the cluster state was away, a restart takes the new one`;
      return new OpError({ subsystem: 'leases', op: 'acquire', object: subnetsOf(lease), code: 'changed', detail });
    };
    return await this.#patiently('lease', acquired, recall, check, () => ending.signal.aborted);
  }

  /** With what the administrator last wanted peers to be told. */
  #overwritten(attributes: LeaseAttributes): LeaseAttributes {
    const { overwriteIp, overwriteIpv6 } = this.#state.snapshot?.nodeAddresses ?? {};
    const publicIp = attributes.publicIp && overwriteIp;
    const publicIpv6 = attributes.publicIpv6 && overwriteIpv6;
    return { ...attributes, ...(publicIp && { publicIp }), ...(publicIpv6 && { publicIpv6 }) };
  }

  /** `inner`, or what `recall` says when that takes too long; then `check` compares the two once both are there. */
  async #patiently<T>(
    what: string,
    inner: Promise<T>,
    recall: () => T | undefined,
    check: (late: T, recalled: T) => Error | undefined,
    isForgotten: () => boolean = () => false,
  ): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<'over'>((resolve) => {
      timer = setTimeout(() => resolve('over'), this.#patienceMs());
    });
    const first = await Promise.race([inner.then((value) => ({ value })), patience]).finally(() => clearTimeout(timer));
    if (first !== 'over') {
      this.#troubles.forget(what);
      return first.value;
    }
    const recalled = recall();
    if (recalled === undefined) return await inner;
    this.#isAway = true;
    this.#options.log.warn({ what }, 'cluster state does not answer, going on with what it last said');
    this.#troubles.note(what, `cluster state does not answer, going on with what it last said: ${what}`);
    inner.then(
      (late) => {
        this.#isAway = false;
        this.#troubles.forget(what);
        this.#options.log.info({ what }, 'cluster state answers again');
        const failure = check(late, recalled);
        if (failure !== undefined) this.#fail(failure);
      },
      (error) => {
        if (!isForgotten()) this.#fail(error);
      },
    );
    return recalled;
  }

  #patienceMs(): number {
    return this.#isAway ? Math.min(this.#options.patienceMs, SHORT_PATIENCE_MS) : this.#options.patienceMs;
  }

  async watch(onSnapshot: (snapshot: LeaseSnapshot) => void, signal: AbortSignal): Promise<void> {
    const { memory, log } = this.#options;
    const { snapshot: earlier } = this.#state;
    const ending = linkedTo(signal);
    const timer = setTimeout(() => {
      if (earlier === undefined) return;
      const text = 'leases cannot be read, going on with the last known ones';
      log.warn({ leases: earlier.leases.size }, text);
      this.#troubles.note('leases', `${text}: ${earlier.leases.size} leases`);
      this.#isAway = true;
      onSnapshot(earlier);
    }, this.#patienceMs());
    const inner = this.#inner.watch((snapshot) => {
      clearTimeout(timer);
      this.#isAway = false;
      this.#troubles.forget('leases');
      this.#remember({ snapshot });
      onSnapshot(snapshot);
    }, ending.signal);
    try {
      // An abort makes what is asked for behind reject, too: then nothing has failed.
      const failed = this.#failed.catch((error) => (signal.aborted ? inner : Promise.reject(error)));
      await Promise.race([inner, failed]);
    } finally {
      clearTimeout(timer);
      ending.abort();
      ending.unlink();
      await inner.catch(() => undefined);
      await memory.flush().catch((error) => log.warn({ err: errorText(error) }, 'cluster state not saved'));
    }
  }

  announceReady(): void {
    this.#inner.announceReady?.();
  }

  report(reason: string, message: string): void {
    this.#inner.report?.(reason, message);
  }

  troubles(): readonly StoreTrouble[] {
    return [...this.#troubles.list(), ...(this.#inner.troubles?.() ?? [])];
  }

  async release(signal: AbortSignal): Promise<void> {
    await this.#inner.release?.(signal);
  }
}

function subnetsOf({ subnet, ipv6Subnet }: Lease): string {
  return [subnet, ipv6Subnet].flatMap((prefix) => (prefix ? [formatPrefix(prefix)] : [])).join(' ');
}
