// Attaches and detaches 64 pods in random order, with 16 calls at once, and kills some calls at a random moment. A killed call is repeated,
// or the pod is given up for good, as by a runtime that has lost its state. One GC must then keep everything of live pods and nothing else.

import type { Random } from '../../faults/soak/random.ts';
import { bridgeMac, devicesNamed, firewallMentions, heldAddresses, keptFiles } from './observe.ts';
import { addressOf, callPlugin, flannelPart, type Part, type Place, problemOf } from './plugin.ts';

export const POD_COUNT = 64;
const AT_ONCE = 16;
/** How many of a hundred calls are killed, and how many of a hundred killed ones are given up. */
const KILLED_PERCENT = 20;
const GIVEN_UP_PERCENT = 4;
/** An ADD takes about 3 ms, and longer when others run at the same time. */
const KILL_WITHIN_MS = 12;
const FIRST_HOST_PORT = 20_000;

export interface ChurnReport {
  readonly operations: number;
  readonly killed: number;
  readonly givenUp: number;
  readonly alive: number;
  readonly failures: string[];
}

/** A pod's state. `unknown`: a call was killed, so that anything may be left. */
type State = 'absent' | 'attached' | 'unknown' | 'givenUp';

class Pod {
  readonly index: number;
  generation = 0;
  state: State = 'absent';
  address: string | undefined;

  constructor(index: number) {
    this.index = index;
  }

  get container(): string {
    return `pod${this.index}-${this.generation}`;
  }

  get netns(): string {
    return `/run/netns/p${this.index}`;
  }
}

export class Churn {
  readonly #place: Place;
  readonly #random: Random;
  readonly #pods = Array.from({ length: POD_COUNT }, (_, index) => new Pod(index));
  readonly #busy = new Set<Pod>();
  readonly #failures: string[] = [];
  readonly #macs = new Set<string>();
  #killed = 0;

  constructor(place: Place, random: Random) {
    this.#place = place;
    this.#random = random;
  }

  /** The netns p0 to p63 must be there, and a subnet with room for them. */
  async run(operations: number): Promise<ChurnReport> {
    let left = operations;
    const work = async (): Promise<void> => {
      while (left-- > 0) {
        const free = this.#pods.filter((pod) => !this.#busy.has(pod) && pod.state !== 'givenUp');
        const pod = this.#random.pick(free);
        if (pod !== undefined) await this.#operate(pod);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    await this.#collect();
    const alive = this.#alive();
    await this.#checkOnlyAlive(alive);
    for (const pod of alive) await this.#detach(pod, undefined);
    await this.#collect();
    await this.#checkOnlyAlive([]);
    if (this.#macs.size !== 1) this.#failures.push(`the bridge had the MACs ${[...this.#macs].join(', ')}`);
    const givenUp = this.#pods.filter(({ state }) => state === 'givenUp').length;
    return { operations, killed: this.#killed, givenUp, alive: alive.length, failures: this.#failures };
  }

  #alive(): Pod[] {
    return this.#pods.filter(({ state }) => state === 'attached');
  }

  /** The plugins of the classic configuration, with this pod's settings. */
  #parts({ index }: Pod): Part[] {
    const portMappings = [{ hostPort: FIRST_HOST_PORT + index, containerPort: 80, protocol: 'tcp' }];
    const rate = { ingressRate: 8_000_000, ingressBurst: 8_000_000, egressRate: 8_000_000, egressBurst: 8_000_000 };
    return [
      flannelPart(this.#place),
      { type: 'portmap', runtimeConfig: { portMappings } },
      { type: 'bandwidth', runtimeConfig: { bandwidth: rate } },
    ];
  }

  async #operate(pod: Pod): Promise<void> {
    this.#busy.add(pod);
    const isKilled = this.#random.integer(1, 100) <= KILLED_PERCENT;
    const killIn = isKilled ? this.#random.integer(1, KILL_WITHIN_MS) : undefined;
    if (pod.state === 'absent') await this.#attach(pod, killIn);
    else await this.#detach(pod, killIn);
    const mac = bridgeMac();
    if (mac !== undefined) this.#macs.add(mac);
    if (pod.state === 'unknown' && this.#random.integer(1, 100) <= GIVEN_UP_PERCENT) pod.state = 'givenUp';
    this.#busy.delete(pod);
  }

  /** Every sandbox of a runtime has an id of its own, so an attachment is never made a second time. */
  async #attach(pod: Pod, killIn: number | undefined): Promise<void> {
    pod.generation++;
    pod.state = 'unknown';
    let prevResult: object | undefined;
    for (const part of this.#parts(pod)) {
      const chained = prevResult === undefined ? part : { ...part, prevResult };
      const outcome = await callPlugin(this.#place, 'ADD', pod, chained, { killAfterMs: killIn });
      if (this.#wasKilled(outcome.signal, killIn)) return;
      const problem = problemOf('ADD', outcome);
      if (problem !== undefined) {
        this.#failures.push(`${pod.container}: ${part.type}: ${problem}`);
        return;
      }
      prevResult = JSON.parse(outcome.stdout) as object;
      pod.address = addressOf(outcome);
    }
    const twin = this.#alive().find(({ address }) => address === pod.address);
    if (twin !== undefined) this.#failures.push(`${pod.address} was given to ${twin.container} and ${pod.container}`);
    pod.state = 'attached';
  }

  async #detach(pod: Pod, killIn: number | undefined): Promise<void> {
    pod.state = 'unknown';
    for (const part of this.#parts(pod).reverse()) {
      const outcome = await callPlugin(this.#place, 'DEL', pod, part, { killAfterMs: killIn });
      if (this.#wasKilled(outcome.signal, killIn)) return;
      const problem = problemOf('DEL', outcome);
      if (problem !== undefined) {
        this.#failures.push(`${pod.container}: ${part.type}: ${problem}`);
        return;
      }
    }
    pod.state = 'absent';
  }

  #wasKilled(signal: string | null, killIn: number | undefined): boolean {
    if (killIn === undefined || signal !== 'SIGKILL') return false;
    this.#killed++;
    return true;
  }

  async #collect(): Promise<void> {
    const valid = this.#alive().map(({ container }) => ({ containerID: container, ifname: 'eth0' }));
    for (const part of this.#parts(new Pod(0))) {
      const config = { ...part, runtimeConfig: {}, 'cni.dev/valid-attachments': valid };
      const problem = problemOf('GC', await callPlugin(this.#place, 'GC', { container: '', netns: '' }, config));
      if (problem !== undefined) this.#failures.push(`${part.type}: ${problem}`);
    }
  }

  async #checkOnlyAlive(alive: readonly Pod[]): Promise<void> {
    const expectSame = (what: string, found: readonly string[], wanted: readonly string[]): void => {
      const spare = found.filter((item) => !wanted.includes(item));
      const lost = wanted.filter((item) => !found.includes(item));
      if (spare.length > 0) this.#failures.push(`left of ${what}: ${spare.join(' ')}`);
      if (lost.length > 0) this.#failures.push(`lost of ${what}: ${lost.join(' ')}`);
    };
    const held = [...heldAddresses(this.#place)].map(([address, container]) => `${address} ${container}`);
    expectSame(
      'addresses',
      held,
      alive.map(({ address, container }) => `${address} ${container}`),
    );
    const files = keptFiles(this.#place);
    const names = alive.flatMap(({ container }) => [container, `${container}:eth0`, `.${container}:eth0:0`]);
    expectSame('files', files, names);
    for (const [what, prefix] of [
      ['veths', 'veth'],
      ['ifb devices', 'bwp'],
    ] as const) {
      const { length } = devicesNamed(prefix);
      if (length !== alive.length) this.#failures.push(`${what}: wanted ${alive.length}, found ${length}`);
    }
    const mapped = await firewallMentions(this.#pods.map(({ index }) => `${FIRST_HOST_PORT + index}`));
    if (mapped !== alive.length) this.#failures.push(`mapped ports: wanted ${alive.length}, found ${mapped}`);
  }
}
