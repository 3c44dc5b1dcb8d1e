// A subnet manager that uses the saved state when the store does not answer at the start. The calls to the store go on in the background. A
// late answer still counts: it is compared with the saved state in use.

import { errorText, OpError } from '../../lib/errors.ts';
import { formatPrefix } from '../../lib/ip.ts';
import type { NetConf } from '../../lib/net-conf.ts';
import { parseNetConf } from '../../lib/net-conf.ts';
import type { Logger } from '../health/log.ts';
import { type StoreTrouble, StoreTroubles } from '../health/store-troubles.ts';
import { type Linked, linkedTo } from './linked.ts';
import type { Lease, LeaseAttributes, LeaseSnapshot, NodeAddresses, ReportType, SubnetManager } from './manager.ts';
import type { SavedState } from './saved-state.ts';

export interface Memory {
  /** The state that an earlier run saved. */
  readonly earlier: SavedState | undefined;
  save(state: SavedState): void;
  flush(): Promise<void>;
}

export interface RememberingOptions {
  readonly store: string;
  readonly memory: Memory;
  /** How long to wait for the store before the saved state is used. */
  readonly patienceMs: number;
  readonly log: Logger;
}

/** How long to wait once the store is known not to answer. */
const SHORT_PATIENCE_MS = 100;

/** A store that holds the configuration calls `onNetConf` with its text, so that it is saved, too. */
export function createRememberingManager(
  makeInner: (onNetConf: (text: string) => void) => SubnetManager,
  options: RememberingOptions,
): SubnetManager {
  return new RememberingManager(makeInner, options);
}

class RememberingManager implements SubnetManager {
  readonly #inner: SubnetManager;
  readonly #options: RememberingOptions;
  /** The answers that come from the saved state at the moment. */
  readonly #troubles = new StoreTroubles();
  #state: SavedState;
  /** Whether the store failed to answer in time; then the next call waits only shortly. */
  #isAway = false;
  /** Rejects when a late answer differs from the saved state in use, or is an error; then the agent must restart. */
  readonly #failed: Promise<never>;
  #fail: (error: unknown) => void = () => undefined;
  /** The latest call for a lease. */
  #asking: { readonly ending: Linked; readonly ended: Promise<unknown> } | undefined;

  constructor(makeInner: (onNetConf: (text: string) => void) => SubnetManager, options: RememberingOptions) {
    this.#options = options;
    const { earlier } = options.memory;
    this.#state = { store: options.store, netConf: earlier?.netConf, own: earlier?.own, snapshot: earlier?.snapshot };
    this.#failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.#failed.catch(() => undefined); // `watch` handles it
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
    // A call that still runs in the background would publish the address this node had before.
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
      const detail = `the agent used ${subnetsOf(recalled)} while the store did not answer; a restart takes the new subnet`;
      return new OpError({ subsystem: 'leases', op: 'acquire', object: subnetsOf(lease), code: 'changed', detail });
    };
    return await this.#patiently('lease', acquired, recall, check, () => ending.signal.aborted);
  }

  /** The attributes with the overwrites that the administrator had last set. */
  #overwritten(attributes: LeaseAttributes): LeaseAttributes {
    const { overwriteIp, overwriteIpv6 } = this.#state.snapshot?.nodeAddresses ?? {};
    const publicIp = attributes.publicIp && overwriteIp;
    const publicIpv6 = attributes.publicIpv6 && overwriteIpv6;
    return { ...attributes, ...(publicIp && { publicIp }), ...(publicIpv6 && { publicIpv6 }) };
  }

  /** Returns the result of `inner`, or of `recall` when `inner` takes too long. Then `check` compares both when `inner` is done. */
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
    this.#options.log.warn({ what }, 'cluster state does not answer, its last answer is used');
    this.#troubles.note(what, `cluster state does not answer, its last answer is used: ${what}`);
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
      const text = 'leases cannot be read, the last known ones are used';
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
      // An abort makes the calls in the background reject, too; that is no failure.
      const failed = this.#failed.catch((error) => (signal.aborted ? inner : Promise.reject(error)));
      await Promise.race([inner, failed]);
    } finally {
      clearTimeout(timer);
      ending.abort();
      ending.unlink();
      await inner.catch(() => undefined);
      await memory.flush().catch((error) => log.warn({ err: errorText(error) }, 'cluster state could not be saved'));
    }
  }

  announceReady(): void {
    this.#inner.announceReady?.();
  }

  report(reason: string, message: string, type?: ReportType): void {
    this.#inner.report?.(reason, message, type);
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
