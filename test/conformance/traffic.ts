// Echo servers in containers and clients anywhere, made with Node itself: the sandbox has no other such tools.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fail } from './expect.ts';
import type { Trial } from './trial.ts';

/** Answers on TCP and UDP with its name (argv 1) on a port (argv 2), until its stdin ends; `name@` adds who asked. */
const SERVER = `const [name, port] = process.argv.slice(1);
const answer = (from) => (name.endsWith('@') ? name + from : name);
const udp = require('dgram').createSocket('udp4');
udp.on('message', (_, from) => udp.send(answer(from.address), from.port, from.address));
const tcp = require('net').createServer((socket) => socket.on('error', () => {}).end(answer(socket.remoteAddress)));
udp.bind(port, () => tcp.listen(port, '0.0.0.0', () => console.log('ready')));
process.stdin.on('end', () => process.exit(0)).resume();`;

/** Prints what is answered at argv: protocol, address, port, own port (0 = any); nothing after 2 s without answer. */
const CLIENT = `const [protocol, address, port, own] = process.argv.slice(1);
const done = (text) => { process.stdout.write(String(text)); process.exit(0); };
setTimeout(done, 2000, '');
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

/** Starts one in a container; it answers with the container's name. Resolves when it listens. */
export function serve(trial: Trial, container: string, port: number): Promise<Server> {
  return startServer((argv) => trial.sandbox.inside(argv, container), container, port);
}

/** The same wherever `inside` leads. */
export function startServer(inside: Inside, name: string, port: number): Promise<Server> {
  return start(inside([process.execPath, '-e', SERVER, name, String(port)]), `the echo server ${name}`);
}

/** The argv that runs `argv` in some namespace. */
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
  /** Where the client is; the host when absent. */
  readonly from?: string;
  /** The client's own port. */
  readonly ownPort?: number;
}

/** Who answers; empty when nobody does. */
export async function ask(trial: Trial, { from, ...question }: Question): Promise<string> {
  return await trial.sandbox.must(askArgv(question), from);
}

/** The argv of a client that prints the answer. */
export function askArgv({ protocol, address, port, ownPort = 0 }: Omit<Question, 'from'>): string[] {
  return [process.execPath, '-e', CLIENT, protocol, address, String(port), String(ownPort)];
}

/** Takes all that is sent to a port (argv 1) over TCP and then says so, until its stdin ends. */
const SINK = `require('net').createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => {}).on('end', () => socket.end('done')).resume();
}).listen(process.argv[1], () => console.log('ready'));
process.stdin.on('end', () => process.exit(0)).resume();`;

/** Sends argv 3 bytes to argv 1, port argv 2, and prints how many milliseconds passed until they were taken. */
const SENDER = `const [address, port, bytes] = process.argv.slice(1);
const before = performance.now();
require('net').connect({ host: address, port }, function () { this.end(Buffer.alloc(Number(bytes))); })
  .on('data', () => console.log(performance.now() - before));`;

/** Milliseconds that `bytes` take to a container (`to`) or from one (`from`); the other end is the host. */
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
