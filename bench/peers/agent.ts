// Runs the real agent in the current namespace and measures its memory and processor time with and without peers, the time from lease
// files to programmed peers, and whether its event loop stays free meanwhile.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { leaseFileName } from '../../flanneld/subnet/lease-dir.ts';
import { renderLeaseFile } from '../../flanneld/subnet/lease-file.ts';
import type { Lease } from '../../flanneld/subnet/manager.ts';
import { parseIp } from '../../lib/ip.ts';
import { macFromBytes } from '../../lib/mac.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { getLink } from '../../lib/rtnetlink/link.ts';
import { deleteNeigh, replaceNeigh } from '../../lib/rtnetlink/neigh.ts';
import { listRoutes } from '../../lib/rtnetlink/route.ts';
import { NUD_PERMANENT, RT_TABLE_MAIN } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { type LoopGap, loopGapProgram } from './loop-gap.ts';
import { leaseOf, netConf, removeDevice, UNDERLAY } from './overlay.ts';

export interface AgentFigures {
  /** Resident memory in megabytes, by what the agent was doing. */
  readonly memoryMb: Readonly<Record<string, number>>;
  /**
   * Processor time in milliseconds a second, children included, of the idle agent: without peers, and with all of them. With all of them
   * it does not probe, because none of them exists: it would ask of each what is wrong. The part `probes` measures what probing costs.
   */
  readonly idleMsPerSec: Readonly<Record<string, number>>;
  /** Milliseconds from writing the first lease file until the last route is in the kernel. */
  readonly convergeMs: Readonly<Record<string, number>>;
  readonly gap: LoopGap;
}

const FEW = 1000;
const MANY = 5000;
const EVENTS = 10_000;
const EVENTS_AT_ONCE = 200;
const SETTLE_MS = 3000;
const START_LIMIT_MS = 15_000;
const CONVERGE_LIMIT_MS = 60_000;
const DEVICE = 'flannel.1';
const NODE = 'bench';

/**
 * Does all measurements on the agent. Its idle processor time is measured for `idleMs`, which begins `restMs` after it has
 * taken in all peers, because collecting the garbage of thousands of leases still belongs to the work of adding them.
 */
export async function measureAgent(
  netlink: Netlink,
  repository: string,
  folder: string,
  { idleMs, restMs }: { readonly idleMs: number; readonly restMs: number },
  show: (line: string) => void,
): Promise<AgentFigures> {
  // Otherwise the agent's first work would be to remove the peers of the measurement before.
  removeDevice(netlink);
  const start = (...flags: string[]): BenchedAgent => new BenchedAgent(netlink, repository, folder, flags);
  let agent = start();
  try {
    show('agent: start');
    await agent.ready();
    await sleep(SETTLE_MS);
    const memoryMb: Record<string, number> = { idle: agent.memoryMb() };
    show('agent: idle');
    const idleMsPerSec: Record<string, number> = { 'without peers': await agent.processorTime(idleMs) };
    show(`agent: ${FEW} peers`);
    const convergeMs: Record<string, number> = { [`0 to ${FEW} peers`]: await agent.addPeers(1, FEW) };
    await sleep(SETTLE_MS);
    memoryMb[`with ${FEW} peers`] = agent.memoryMb();
    show(`agent: ${MANY} peers and ${EVENTS} events`);
    agent.watchLoop();
    const [ms] = await Promise.all([agent.addPeers(FEW + 1, MANY), makeEvents(netlink)]);
    convergeMs[`${FEW} to ${MANY} peers, with events`] = ms;
    await sleep(SETTLE_MS);
    const gap = await agent.loopGap();
    memoryMb[`with ${MANY} peers`] = agent.memoryMb();
    await agent.stop();
    agent = start('--probes=off');
    await agent.ready();
    await sleep(SETTLE_MS + restMs);
    show('agent: idle with peers');
    idleMsPerSec[`with ${MANY} peers`] = await agent.processorTime(idleMs);
    return { memoryMb, idleMsPerSec, convergeMs, gap };
  } finally {
    await agent.stop();
  }
}

class BenchedAgent {
  readonly #netlink: Netlink;
  readonly #leases: string;
  readonly #subnetFile: string;
  readonly #gapFile: string;
  readonly #logFile: string;
  readonly #child: ChildProcess;

  constructor(netlink: Netlink, repository: string, folder: string, more: readonly string[]) {
    this.#netlink = netlink;
    this.#leases = join(folder, 'leases');
    this.#subnetFile = join(folder, 'subnet.env');
    this.#gapFile = join(folder, 'gap.json');
    this.#logFile = join(folder, 'agent.log');
    mkdirSync(this.#leases, { recursive: true });
    rmSync(this.#subnetFile, { force: true });
    // The agent keeps this lease, as if from an earlier run. A new lease might take a peer's subnet.
    this.#publish(NODE, leaseOf(0)[1]);
    const [config, watcher] = [join(folder, 'net-conf.json'), join(folder, 'watcher.cjs')];
    writeFileSync(config, netConf);
    writeFileSync(watcher, loopGapProgram(this.#gapFile));
    const log = openSync(this.#logFile, 'w');
    const flags = [
      `--iface=${UNDERLAY}`,
      `--node-name=${NODE}`,
      `--net-config-path=${config}`,
      `--subnet-file=${this.#subnetFile}`,
      `--subnet-dir=${this.#leases}`,
      ...more,
    ];
    this.#child = spawn(join(repository, 'dist/flanneld'), flags, {
      stdio: ['ignore', log, log],
      // Nothing else of this environment, as on a lab node: NODE_EXTRA_CA_CERTS alone costs each Node 2 MB.
      env: { PATH: process.env['PATH'], NODE_OPTIONS: `--require ${watcher}` },
    });
    closeSync(log);
    process.on('exit', () => this.#child.kill('SIGKILL'));
  }

  async ready(): Promise<void> {
    await this.#until(START_LIMIT_MS, 'the agent is not ready', () => existsSync(this.#subnetFile));
  }

  /** Writes the leases of nodes `from` to `to`. Resolves to the milliseconds until the kernel has a route to each of them. */
  async addPeers(from: number, to: number): Promise<number> {
    const start = performance.now();
    for (let node = from; node <= to; node++) {
      const [key, lease] = leaseOf(node);
      this.#publish(key, lease);
      // Lets the event loop run, because other work in this process must go on, as it would on other nodes.
      if (node % 100 === 0) await sleep(0);
    }
    await this.#until(CONVERGE_LIMIT_MS, `not every one of ${to} peers is programmed`, () => this.#routes() >= to);
    return performance.now() - start;
  }

  #publish(node: string, lease: Lease): void {
    const path = join(this.#leases, leaseFileName(node));
    writeFileSync(`${path}.new`, renderLeaseFile(lease));
    renameSync(`${path}.new`, path);
  }

  #routes(): number {
    const oif = getLink(this.#netlink, { name: DEVICE })?.index ?? 0;
    return listRoutes(this.#netlink, { family: 4, oif, table: RT_TABLE_MAIN }).filter(
      ({ nexthopId, gateway }) => nexthopId !== undefined || gateway !== undefined,
    ).length;
  }

  async #until(limitMs: number, problem: string, condition: () => boolean): Promise<void> {
    const deadline = performance.now() + limitMs;
    while (!condition()) {
      const { exitCode } = this.#child;
      if (exitCode !== null || performance.now() > deadline) {
        const log = readFileSync(this.#logFile, 'utf8').trim().split('\n').at(-1);
        throw new Error(`${problem}; ${exitCode === null ? '' : `it ended with ${exitCode}; `}its last words: ${log}`);
      }
      await sleep(10);
    }
  }

  memoryMb(): number {
    const rss = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.#child.pid}/status`, 'utf8'))?.[1];
    return (Number(rss) * 1024) / 1e6;
  }

  /** proc(5): utime, stime, cutime and cstime are fields 14 to 17, in hundredths of a second. */
  #processorMs(): number {
    const text = readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields.slice(11, 15).reduce((sum, field) => sum + Number(field) * 10, 0);
  }

  /** Milliseconds of processor time a second over `idleMs`. */
  async processorTime(idleMs: number): Promise<number> {
    const before = this.#processorMs();
    await sleep(idleMs);
    return (this.#processorMs() - before) / (idleMs / 1000);
  }

  watchLoop(): void {
    rmSync(this.#gapFile, { force: true });
    this.#child.kill('SIGUSR2');
  }

  async loopGap(): Promise<LoopGap> {
    this.#child.kill('SIGUSR2');
    await this.#until(START_LIMIT_MS, 'the watcher inside the agent says nothing', () => existsSync(this.#gapFile));
    return JSON.parse(readFileSync(this.#gapFile, 'utf8')) as LoopGap;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await Promise.race([ended, sleep(START_LIMIT_MS, undefined, { ref: false })]);
    this.#child.kill('SIGKILL');
  }
}

/** Makes 10,000 events that the agent receives but need not act on: neighbours that come and go on the underlay. */
async function makeEvents(netlink: Netlink): Promise<void> {
  const index = getLink(netlink, { name: UNDERLAY })?.index ?? 0;
  const mac = macFromBytes(new Uint8Array([2, 0, 0, 0, 0, 9]));
  const destinations = Array.from({ length: EVENTS_AT_ONCE }, (_, at) => parseIp(`172.31.0.${at + 1}`));
  for (let made = 0; made < EVENTS; made += 2 * EVENTS_AT_ONCE) {
    netlink.execute(
      destinations.map((destination) => replaceNeigh({ index, destination, mac, state: NUD_PERMANENT }, UNDERLAY)),
    );
    netlink.execute(destinations.map((destination) => deleteNeigh({ index, destination }, UNDERLAY)));
    await sleep(0);
  }
}
