// A watch receives more than 10,000 events, survives the loss of events, keeps the event loop responsive, and does not keep the process
// running.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { compileProgram, type Executable } from '../support/executable.ts';
import { type HeldNetns, holdNetns } from '../support/held-netns.ts';
import { compileForNode, type NodeProgram } from '../support/node-program.ts';
import { slowed } from '../support/slowness.ts';

const FIXTURES = join(import.meta.dirname, 'fixtures');
/** The number of peers. Each makes four events. */
const PEERS = 5000;
const MAX_GAP_MS = 50;
/**
 * How often to try. A gap does not include time in which other processes had the processors, but a virtual machine may also be stopped from
 * time to time. A loop that reads too long blocks in every run, so the shortest gap of several runs shows it.
 */
const ATTEMPTS = 3;

let producer: Executable;
let watcher: NodeProgram;

beforeAll(async () => {
  producer = await compileProgram(join(FIXTURES, 'objects.ts'));
  watcher = await compileForNode(join(FIXTURES, 'watch-node.ts'));
}, slowed(120_000));
afterAll(() => {
  producer?.remove();
  watcher?.remove();
});

interface WatchReport {
  seen: Record<string, number>;
  messages: number;
  overflows: number;
  drains: number;
  errors: string[];
  fdbEntries: number;
  maxGapMs: number;
}

/** Starts the watcher inside `host`, calls `produce` once it watches, and returns its report when it has ended. */
async function watchWhile(host: HeldNetns, args: string[], produce: () => void | Promise<void>): Promise<WatchReport> {
  const enter = ['-t', String(host.pid), '-n', process.execPath, watcher.path, ...args];
  const child = spawn('nsenter', enter, { stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  let output = '';
  child.stdout.on('data', (data) => {
    output += data;
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  await produce();
  child.stdin.end();
  expect(await ended).toBe(0);
  return JSON.parse(output.slice('ready\n'.length)) as WatchReport;
}

/** Runs a program asynchronously, because this process must go on reading the watcher's output. */
function produceIn(host: HeldNetns, ...command: string[]): Promise<void> {
  const child = spawn('nsenter', ['-t', String(host.pid), '-n', ...command], { stdio: 'ignore' });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => (code === 0 ? resolve() : reject(new Error(`${command[0]} exited ${code}`))));
  });
}

async function netns(): Promise<HeldNetns> {
  const held = await holdNetns();
  onTestFinished(held.remove);
  return held;
}

/** Repeats until the loop was blocked for less than the limit. Prints the best gap, as the requirement says. */
async function attempts(name: string, watchOnce: (host: HeldNetns) => Promise<WatchReport>): Promise<WatchReport[]> {
  const reports: WatchReport[] = [];
  do reports.push(await watchOnce(await netns()));
  while (reports.length < ATTEMPTS && bestGap(reports) >= MAX_GAP_MS);
  const [first] = reports;
  process.stderr.write(
    `${name}: ${first?.messages} events seen, ${first?.overflows} overflows, longest event-loop gap ${bestGap(reports).toFixed(1)} ms\n`,
  );
  return reports;
}

function bestGap(reports: WatchReport[]): number {
  return Math.min(...reports.map(({ maxGapMs }) => maxGapMs));
}

describe('a watch of rtnetlink', () => {
  test('with a large buffer it sees each of 20,000 waiting events, and the event loop is never blocked', async () => {
    const produce = [producer.path, 'bulk', String(PEERS)];
    const reports = await attempts('16 MiB buffer', (host) =>
      watchWhile(host, ['rtnetlink', String(16 * 1024 * 1024), ...produce], () => undefined),
    );
    for (const report of reports) {
      expect(report.overflows).toBe(0);
      expect(report.errors).toEqual([]);
      expect(report.seen).toMatchObject({ '+fdb': PEERS, '+nexthop': PEERS });
      // The kernel itself adds some neighbours and routes for the device, so there may be more of these.
      expect(report.seen['+neigh']).toBeGreaterThanOrEqual(PEERS);
      expect(report.seen['+route']).toBeGreaterThanOrEqual(PEERS);
      expect(report.fdbEntries).toBe(PEERS);
    }
    expect(bestGap(reports)).toBeLessThan(MAX_GAP_MS);
  });

  test('with a small buffer it is told that events were lost, and listing again finds the truth', async () => {
    const reports = await attempts('4 KiB buffer', (host) =>
      watchWhile(host, ['rtnetlink', '4096'], () => produceIn(host, producer.path, 'bulk', String(PEERS))),
    );
    for (const report of reports) {
      expect(report.overflows).toBeGreaterThan(0);
      expect(report.messages).toBeLessThan(4 * PEERS);
      expect(report.errors).toEqual([]);
      expect(report.fdbEntries).toBe(PEERS);
    }
    expect(bestGap(reports)).toBeLessThan(MAX_GAP_MS);
  });

  test('lets the process end at once when nothing ever happened', async () => {
    const host = await netns();
    const report = await watchWhile(host, ['rtnetlink', '65536'], () => undefined);
    expect(report).toMatchObject({ messages: 0, overflows: 0, drains: 0, errors: [] });
  });

  test('reports a callback that throws once, and ends', async () => {
    const host = await netns();
    const report = await watchWhile(host, ['throwing', '65536'], () => {
      host.run('ip', 'link', 'set', 'lo', 'up');
    });
    expect(report).toMatchObject({ messages: 0, errors: ['Error: from the callback'] });
  });
});

test('a watch of nftables sees tables, chains and rules', async () => {
  const host = await netns();
  const report = await watchWhile(host, ['nftables', '65536'], () => {
    host.run('nft', 'add table ip weft-test; add chain ip weft-test c; add rule ip weft-test c accept');
    host.run('nft', 'delete chain ip weft-test c');
    host.run('nft', 'delete table ip weft-test');
  });
  // The event count includes the rule, which is deleted with its chain. The generation message after each transaction is no event.
  expect(report.seen).toEqual({ table: 2, chain: 2, rule: 2 });
  expect(report.errors).toEqual([]);
});
