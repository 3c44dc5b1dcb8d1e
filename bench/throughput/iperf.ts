// Runs iperf3(1), with a server in one network namespace and a client in another, and reads the client's JSON.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand } from '../../test/lab/command.ts';

const PORT = 5209;
const START_MS = 5000;
const LOOK_MS = 20;
/** How often a client tries, because a server may still be busy with its last client for a moment. */
const ATTEMPTS = 5;
const CLIENT_MS = 20_000;

/** What to send: TCP or UDP, in one stream or several. */
export interface Load {
  readonly protocol: 'tcp' | 'udp';
  readonly streams: number;
  readonly seconds: number;
  /** The payload of a UDP packet, which must fit the path with the smallest MTU. */
  readonly udpBytes: number;
}

export interface Carried {
  /** The rate that the receiver counted. */
  readonly gbitPerSecond: number;
  /** The percentage of packets that were lost, for UDP only. */
  readonly lostPercent: number | undefined;
  /** The number of segments that were sent again, for TCP only. */
  readonly retransmits: number | undefined;
}

/** The path of iperf3 in one of the folders of PATH. Throws an error that says how to install it. */
export function requireIperf(path = process.env['PATH'] ?? ''): string {
  const found = path.split(':').find((folder) => folder !== '' && existsSync(`${folder}/iperf3`));
  if (found !== undefined) return `${found}/iperf3`;
  throw new Error(`throughput needs iperf3, which is in no folder of PATH (${path}): apt-get install iperf3`);
}

/** Reads what a client with --json printed. Throws iperf3's own error. */
export function parseIperf(text: string, protocol: Load['protocol']): Carried {
  const said = JSON.parse(text) as {
    error?: string;
    end?: Record<'sum_received' | 'sum_sent' | 'sum', Record<string, number> | undefined>;
  };
  if (said.error !== undefined) throw new Error(`iperf3: ${said.error}`);
  const received = protocol === 'tcp' ? said.end?.sum_received : (said.end?.sum_received ?? said.end?.sum);
  const bits = received?.['bits_per_second'];
  if (bits === undefined) throw new Error('iperf3: no sum of what was received');
  // In a UDP client's `sum`, the rate is the sender's, but the loss is what the server reported.
  const lostPercent = protocol === 'udp' ? said.end?.sum?.['lost_percent'] : undefined;
  const retransmits = protocol === 'tcp' ? said.end?.sum_sent?.['retransmits'] : undefined;
  return { gbitPerSecond: bits / 1e9, lostPercent, retransmits };
}

export interface IperfServer {
  stop(): void;
}

/** Starts a server in the namespace and resolves when it listens. It ends with this process. */
export async function startIperfServer(netns: string, address: string): Promise<IperfServer> {
  const listen = ['iperf3', '--server', '--bind', address, '--port', `${PORT}`];
  const inside = ['--pdeathsig', 'KILL', '--', 'nsenter', `--net=${netns}`, '--', ...listen];
  const server = spawn('setpriv', inside, { stdio: ['ignore', 'pipe', 'pipe'] });
  await listening(server, `iperf3 on ${address}`);
  return { stop: () => server.kill('SIGKILL') };
}

/** Waits until the server listens. iperf3 prints that at once only to a terminal, so this looks for its socket instead. */
async function listening(server: ChildProcess, what: string): Promise<void> {
  let said = '';
  for (const stream of [server.stdout, server.stderr])
    stream?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const deadline = performance.now() + START_MS;
  while (server.exitCode === null && performance.now() < deadline) {
    const { stdout } = await runCommand([
      'nsenter',
      `--net=/proc/${server.pid}/ns/net`,
      'ss',
      '-Hltn',
      `sport = :${PORT}`,
    ]);
    if (stdout.trim() !== '') return;
    await sleep(LOOK_MS);
  }
  server.kill('SIGKILL');
  throw new Error(`${what} does not listen: ${said.trim() || 'it said nothing'}`);
}

/** Runs a client. Rejects with iperf3's own error. */
export async function runIperf(
  { netns, from, to }: { readonly netns: string; readonly from: string; readonly to: string },
  load: Load,
): Promise<Carried> {
  const udp = load.protocol === 'udp' ? ['--udp', '--bandwidth', '0', '--length', `${load.udpBytes}`] : [];
  const much = ['--time', `${load.seconds}`, '--parallel', `${load.streams}`];
  const client = ['iperf3', '--client', to, '--bind', from, '--port', `${PORT}`, '--json', ...much, ...udp];
  for (let attempt = 1; ; attempt += 1) {
    const { stdout, stderr } = await runCommand(['nsenter', `--net=${netns}`, '--', ...client], {
      timeoutMs: CLIENT_MS,
    });
    if (stdout === '') throw new Error(`iperf3: ${stderr.trim() || 'it said nothing'}`);
    try {
      return parseIperf(stdout, load.protocol);
    } catch (error) {
      if (attempt === ATTEMPTS || !/busy|refused/.test(String(error))) throw error;
      await sleep(LOOK_MS * attempt);
    }
  }
}
