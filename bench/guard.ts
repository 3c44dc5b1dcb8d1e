// What does the guard cost? A ping-pong between pods on two nodes is measured with the rules of each `--guard` in turn, on the same
// devices. nft changes the rules between two measurements; no agent runs that would restore its own. Both ends, and the kernel's work for
// them, share one processor, so that a round trip takes as long as all the work done for it.

import { cpus } from 'node:os';
import { renderTable } from '../flanneld/firewall/nft-table.ts';
import { type GuardConfig, type TunnelConfig, tunnelTables } from '../flanneld/firewall/tunnel-rules.ts';
import { parsePrefix } from '../lib/ip.ts';
import { SUBNET_FILE } from '../test/lab/contract.ts';
import { startLab } from '../test/lab/lab.ts';
import type { LabNode } from '../test/lab/lab-node.ts';
import { rotated } from './cni/plan.ts';
import { figure, ratioOfFigures, summaryTable } from './figures.ts';
import type { BenchOptions } from './options.ts';
import type { Progress } from './progress.ts';
import type { Figure, Part, PartResult } from './result.ts';
import { runPingPong, startPingPongServer } from './throughput/ping-pong-end.ts';

const ROUNDS = 60;
const QUICK_ROUNDS = 5;
const PING_PONG_MS = 300;
const US_PER_S = 1e6;
/** Peers in the set. A look-up should cost the same however many there are, and this measurement would show if it did not. */
const PEERS = 5000;
/** The least that exchanges a second with the guard enforcing may be, as a share of those without it. */
const LEAST_RATIO = 0.97;

const MODES = ['off', 'count', 'enforce'] as const;
type Mode = (typeof MODES)[number];

export const guardPart: Part = {
  name: 'guard',
  question: 'What does the guard of the tunnel cost?',
  seconds: { full: 120 },
  measure,
};

async function measure(options: BenchOptions, progress: Progress): Promise<PartResult> {
  if (process.getuid?.() !== 0) throw new Error('guard needs root: it makes network namespaces');
  const { quick, runs: rounds = quick ? QUICK_ROUNDS : ROUNDS } = options;
  progress.step('guard: lab of two nodes', 0, 1);
  const lab = await startLab({ nodes: 2 });
  try {
    const [a, b] = lab.nodes;
    if (a === undefined || b === undefined) throw new Error('guard needs two nodes');
    const [client, server] = [await a.addPod(), await b.addPod()];
    for (const node of lab.nodes) await node.agent.stop();
    const cpu = cpus().length - 1;
    const away = await startPingPongServer(server.netnsFromOutside, server.ip, cpu);
    const ends = { netns: client.netnsFromOutside, from: client.ip, to: server.ip, cpu };
    const { samples, failures } = await measureRounds([a, b], ends, rounds, progress).finally(() => away.stop());
    const table = await a.run(['nft', '-t', 'list', 'table', 'inet', 'weft']);
    return { ...describe(samples), failures, about: { processor: cpu, peers: PEERS, table } };
  } finally {
    await lab.down();
  }
}

/**
 * Exchanges a second for each mode, calculated from the median round trip: this leaves out the time in which other programs
 * had the processor. NaN for a measurement that failed.
 */
async function measureRounds(
  nodes: readonly LabNode[],
  ends: Parameters<typeof runPingPong>[0],
  rounds: number,
  progress: Progress,
): Promise<{ samples: ReadonlyMap<Mode, readonly number[]>; failures: string[] }> {
  const samples = new Map<Mode, number[]>(MODES.map((mode) => [mode, []]));
  const failures: string[] = [];
  const addresses = nodes.map(({ address }) => address);
  for (let round = 0; round < rounds; round++) {
    for (const mode of rotated(MODES, round)) {
      progress.step('guard', round, rounds);
      for (const node of nodes) await setGuard(node, mode, addresses);
      const measured = await runPingPong(ends, PING_PONG_MS).catch((error: unknown) => {
        failures.push(`${mode}, round ${round + 1}: ${error instanceof Error ? error.message : String(error)}`);
      });
      samples.get(mode)?.push(measured === undefined ? Number.NaN : US_PER_S / measured.p50Us);
    }
  }
  return { samples, failures };
}

/** Applies the rules the agent has for a mode, with as many peers as a large cluster has. */
async function setGuard(node: LabNode, mode: Mode, nodes: readonly string[]): Promise<void> {
  const [, subnet = ''] = /^FLANNEL_SUBNET=(.*)$/m.exec(node.readFile(SUBNET_FILE)) ?? [];
  const guard: GuardConfig | undefined =
    mode === 'off' ? undefined : { mode, port: 8472, isVxlan: true, seesMacs: true };
  const config: TunnelConfig = {
    vni: 1,
    devices: ['flannel.1'],
    bridge: 'cni0',
    networks: [parsePrefix('10.244.0.0/16')],
    subnets: [parsePrefix(subnet)],
    guard,
  };
  const others = Array.from({ length: PEERS - nodes.length }, (_, at) => `172.16.${at >> 8}.${at & 255}`);
  const elements = new Map(guard === undefined ? [] : [['peers4', [...nodes, ...others]]]);
  const input = tunnelTables(config).map((table) => renderTable(table, table.family === 'inet' ? elements : undefined));
  await node.run(['nft', '-f', '-'], { input: input.join('') });
}

function describe(samples: ReadonlyMap<Mode, readonly number[]>): Omit<PartResult, 'failures' | 'about'> {
  const figures = MODES.map((mode): Figure => {
    const role = mode === 'off' ? 'reference' : 'weft';
    const about = {
      key: `guard/${mode}`,
      name: `UDP ping-pong by its median round trip, --guard=${mode}`,
      unit: 'exchanges/s',
      role,
    } as const;
    return figure({ ...about, better: 'higher' }, samples.get(mode) ?? []);
  });
  const ratio = (mode: Mode, limit = {}): PartResult['ratios'][number] =>
    ratioOfFigures(`round trips, ${mode} against off`, figures, { of: `guard/${mode}`, against: 'guard/off' }, limit);
  return {
    figures,
    tables: [summaryTable(`interleaved, ${PING_PONG_MS} ms each, pinned to one processor`, figures)],
    ratios: [ratio('enforce', { least: LEAST_RATIO }), ratio('count', { least: LEAST_RATIO })],
    limits: [],
    notes: [`both ends on one processor; ${PEERS} peers in the set`],
    plots: [{ kind: 'distribution', title: 'UDP ping-pong by --guard', figures: figures.map(({ key }) => key) }],
    headline: [],
  };
}
