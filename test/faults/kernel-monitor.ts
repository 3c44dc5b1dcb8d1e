// Records all changes in a node's kernel with the monitors of ip(8), bridge(8) and nft(8). They are independent witnesses, because they
// share no code with Weft.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';

const witnesses = [
  ['ip', 'monitor', 'link', 'address', 'route', 'neigh', 'nexthop'],
  ['bridge', 'monitor', 'fdb'],
  ['nft', 'monitor'],
] as const;

/** The MAC in changes that only this test makes. A monitor that reports such a change works and has reported all earlier ones. */
const MARK_MAC = '02:00:5e:00:53:aa';
const MARK_ROUTE = '198.51.100.77';
const MARK_TABLE = 'fault_test_mark';
const MARK_TIMEOUT_MS = 5000;

export class KernelMonitor {
  readonly #node: LabNode;
  readonly #children: ChildProcess[] = [];
  readonly #lines: string[][] = witnesses.map(() => []);

  private constructor(node: LabNode) {
    this.#node = node;
    for (const [index, argv] of witnesses.entries()) {
      // Also enters the node's mounts: ip(8) looks up every name in /run/netns, and the machine's names do not belong to the node.
      const enter = [
        'setpriv',
        '--pdeathsig',
        'KILL',
        '--',
        'nsenter',
        `--target=${node.pid}`,
        '--mount',
        '--net',
        '--',
      ];
      const [file = '', ...args] = [...enter, ...argv];
      const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      createInterface({ input: child.stdout }).on('line', (line) => this.#lines[index]?.push(line));
      this.#children.push(child);
    }
  }

  /** Starts the monitors and resolves when all of them listen. */
  static async start(node: LabNode): Promise<KernelMonitor> {
    const monitor = new KernelMonitor(node);
    await monitor.#mark();
    return monitor;
  }

  /** Stops the monitors. Returns the lines about changes to `words`, unsorted across the monitors. */
  async stop(words: readonly string[]): Promise<string[]> {
    await this.#mark();
    await this.abandon();
    return this.#lines.flat().filter((line) => words.some((word) => line.includes(word)));
  }

  async abandon(): Promise<void> {
    for (const child of this.#children.splice(0)) {
      const ended = once(child, 'close');
      child.kill('SIGKILL');
      await ended;
    }
  }

  /** Makes and removes marks until every monitor has reported one that was made from now on, and all marks are gone. */
  async #mark(): Promise<void> {
    const before = this.#seen();
    const told = async (): Promise<boolean> => {
      await this.#node.run(['sh', '-c', MARKS]);
      return this.#seen().every((count, index) => count > (before[index] ?? 0));
    };
    await waitUntil(told, MARK_TIMEOUT_MS, `monitors of ${this.#node.name}`);
  }

  #seen(): number[] {
    return this.#lines.map((lines) => lines.filter(isEndOfMark).length);
  }
}

const MARKS = [
  `ip route add blackhole ${MARK_ROUTE}`,
  `ip route del blackhole ${MARK_ROUTE}`,
  `bridge fdb add ${MARK_MAC} dev eth0 self`,
  `bridge fdb del ${MARK_MAC} dev eth0 self`,
  `nft add table ip ${MARK_TABLE}`,
  `nft delete table ip ${MARK_TABLE}`,
].join('; ');

function isEndOfMark(line: string): boolean {
  return /delete/i.test(line) && [MARK_ROUTE, MARK_MAC, MARK_TABLE].some((mark) => line.includes(mark));
}

/** Those of a monitor's lines that report a removal. */
export function removals(lines: readonly string[]): string[] {
  return lines.filter((line) => /^(\[[^\]]*\])?\s*(Deleted|delete) /.test(line));
}
