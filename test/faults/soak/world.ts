// The world of a soak: five nodes with an agent each, their pods, and leases of nodes that do not exist.

import type { Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { dropLease, type TestLease, writeLease, writeLeaseText } from '../../lab/support/leases.ts';
import type { TwoBuilds } from '../two-builds.ts';
import { Gate } from './gate.ts';
import type { Random } from './random.ts';

/**
 * The node that is never killed, moved, rebooted or removed. The memory and descriptors of its agent are watched from the beginning
 * to the end.
 */
export const WITNESS = 'node-1';
const MAX_GHOSTS = 12;
/** Subnets and addresses that no node of the lab has. */
const GHOST_SUBNETS = { least: 200, most: 250 };
const GHOST_HOSTS = { least: 200, most: 250 };

export class World {
  readonly lab: Lab;
  /** The two builds from which the agents are started. */
  readonly builds: TwoBuilds;
  readonly gate = new Gate();
  readonly #ghosts = new Map<string, TestLease>();
  readonly #broken = new Set<string>();
  #made = 0;

  constructor(lab: Lab, builds: TwoBuilds) {
    this.lab = lab;
    this.builds = builds;
  }

  /** Returns a node to which harm can be done. */
  anyNode(random: Random): LabNode {
    const node = random.pick(this.lab.nodes);
    if (node === undefined) throw new Error('no node is left');
    return node;
  }

  /** Returns a node whose agent may end; undefined when only the witness is there. */
  mortalNode(random: Random): LabNode | undefined {
    return random.pick(this.lab.nodes.filter(({ name }) => name !== WITNESS));
  }

  addGhost(random: Random): string | undefined {
    if (this.#ghosts.size >= MAX_GHOSTS) return undefined;
    this.#made += 1;
    const name = `ghost-${this.#made}`;
    this.#write(name, { subnet: this.#freeSubnet(random), publicIp: this.#freeIp(random), mac: random.mac() });
    return `${name} joins`;
  }

  changeGhost(random: Random): string | undefined {
    const [name, lease] = random.pick([...this.#ghosts]) ?? [];
    if (name === undefined || lease === undefined) return undefined;
    const what = random.pick(['publicIp', 'mac', 'subnet'] as const) ?? 'publicIp';
    const value = {
      publicIp: () => this.#freeIp(random),
      mac: () => random.mac(),
      subnet: () => this.#freeSubnet(random),
    };
    this.#write(name, { ...lease, [what]: value[what]() });
    return `${name} has another ${what}`;
  }

  dropGhost(random: Random): string | undefined {
    const name = random.pick([...this.#ghosts.keys()]);
    if (name === undefined) return undefined;
    this.#ghosts.delete(name);
    dropLease(this.lab, name);
    return `${name} leaves`;
  }

  /** Adds a lease that no agent can read, or removes it. */
  toggleBroken(random: Random): string {
    const name = `broken-${random.integer(1, 3)}`;
    if (this.#broken.delete(name)) {
      dropLease(this.lab, name);
      return `${name} is gone`;
    }
    this.#broken.add(name);
    writeLeaseText(this.lab, name, random.pick(['{"Subnet": "10.244.2', '[]', '{"Subnet":"10.244.0.0/8"}']) ?? '');
    return `${name} appears`;
  }

  dropBroken(): void {
    for (const name of this.#broken) dropLease(this.lab, name);
    this.#broken.clear();
  }

  #write(name: string, lease: TestLease): void {
    this.#ghosts.set(name, lease);
    writeLease(this.lab, name, lease);
  }

  #freeSubnet(random: Random): string {
    const taken = new Set([...this.#ghosts.values()].map(({ subnet }) => subnet));
    return firstFree(GHOST_SUBNETS, random, (number) => `10.244.${number}.0/24`, taken);
  }

  #freeIp(random: Random): string {
    const taken = new Set([...this.#ghosts.values()].map(({ publicIp }) => publicIp));
    return firstFree(GHOST_HOSTS, random, (number) => `192.168.50.${number}`, taken);
  }
}

function firstFree(
  { least, most }: { readonly least: number; readonly most: number },
  random: Random,
  spell: (number: number) => string,
  taken: ReadonlySet<string>,
): string {
  for (;;) {
    const text = spell(random.integer(least, most));
    if (!taken.has(text)) return text;
  }
}
