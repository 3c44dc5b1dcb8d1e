// Echo servers in containers, and clients for them. They are Node programs, because the sandbox may lack other tools.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { slowed } from '../../support/slowness.ts';
import { fail } from './expect.ts';
import type { Trial } from './trial.ts';

/** Answers TCP and UDP on a port (argv 2) with its name (argv 1) until stdin ends. `name@` adds the client's address. */
const SERVER = `const [name, port] = process.argv.slice(1);
const answer = (from) => (name.endsWith('@') ? name + from : name);
const udp = require('dgram').createSocket('udp4');
udp.on('message', (_, from) => udp.send(answer(from.address), from.port, from.address));
const tcp = require('net').createServer((socket) => socket.on('error', () => {}).end(answer(socket.remoteAddress)));
udp.bind(port, () => tcp.listen(port, '0.0.0.0', () => console.log('ready')));
process.stdin.on('end', () => process.exit(0)).resume();`;

/**
 * Prints a server's answer, or nothing after 2 s without one; on an emulated processor after longer, because several clients start at once.
 * argv: protocol, address, port, own port (0 = any).
 */
const CLIENT = `const [protocol, address, port, own] = process.argv.slice(1);
const done = (text) => { process.stdout.write(String(text)); process.exit(0); };
setTimeout(done, ${slowed(2000)}, '');
if (protocol === 'tcp') {
  require('net').connect({ host: address, port, localPort: Number(own) || undefined })
    .on('data', done).on('error', () => done(''));
} else {
  const udp = require('dgram').createSocket('udp4');
  udp.on('message', done).bind(Number(own), () => udp.send('?', port, address));
}`;

export interface Server {
  stop(): Promise<void>;
}

/** Starts a server in a container. It answers with the container's name. Resolves when it listens. */
export function serve(trial: Trial, container: string, port: number): Promise<Server> {
  return startServer((argv) => trial.sandbox.inside(argv, container), container, port);
}

/** Starts a server in the namespace that `inside` leads to. */
export function startServer(inside: Inside, name: string, port: number): Promise<Server> {
  return start(inside([process.execPath, '-e', SERVER, name, String(port)]), `the echo server ${name}`);
}

/** Makes the command that runs `argv` in a certain namespace. */
export type Inside = (argv: readonly string[]) => string[];

async function start(argv: readonly string[], what: string): Promise<Server> {
  const [file = '', ...args] = argv;
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  await Promise.race([once(child.stdout, 'data'), once(child, 'close')]);
  if (child.exitCode !== null) fail(`${what} ended`);
  return {
    stop: async () => {
      const closed = once(child, 'close');
      child.stdin.end();
      await closed;
    },
  };
}

export interface Question {
  readonly protocol: 'tcp' | 'udp';
  readonly address: string;
  readonly port: number;
  /** The container in which the client runs; the host when absent. */
  readonly from?: string;
  /** The client's own port. */
  readonly ownPort?: number;
}

/** The name of the server that answers; empty when none does. */
export async function ask(trial: Trial, { from, ...question }: Question): Promise<string> {
  return await trial.sandbox.must(askArgv(question), from);
}

/** The command of a client that prints the answer. */
export function askArgv({ protocol, address, port, ownPort = 0 }: Omit<Question, 'from'>): string[] {
  return [process.execPath, '-e', CLIENT, protocol, address, String(port), String(ownPort)];
}

/** Accepts TCP connections on a port (argv 1) until stdin ends. For each, reads everything and then confirms it. */
const SINK = `require('net').createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => {}).on('end', () => socket.end('done')).resume();
}).listen(process.argv[1], () => console.log('ready'));
process.stdin.on('end', () => process.exit(0)).resume();`;

/** Sends argv 3 bytes to address argv 1, port argv 2, and prints how many milliseconds passed until that was confirmed. */
const SENDER = `const [address, port, bytes] = process.argv.slice(1);
const before = performance.now();
require('net').connect({ host: address, port }, function () { this.end(Buffer.alloc(Number(bytes))); })
  .on('data', () => console.log(performance.now() - before));`;

/** The milliseconds it takes to send `bytes` to a container (`to`) or from one (`from`). The other end is the host. */
export async function transfer(
  trial: Trial,
  { from, to, address, bytes }: { from?: string; to?: string; address: string; bytes: number },
): Promise<number> {
  const port = 5000;
  const sink = await start(
    trial.sandbox.inside([process.execPath, '-e', SINK, String(port)], to),
    `the sink in ${to ?? 'the host'}`,
  );
  try {
    return Number(
      await trial.sandbox.must([process.execPath, '-e', SENDER, address, String(port), String(bytes)], from),
    );
  } finally {
    await sink.stop();
  }
}
