// Echo servers in containers and clients anywhere, made with Node itself: the sandbox has no other such tools.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fail } from './expect.ts';
import type { Trial } from './trial.ts';

/** Answers on TCP and UDP with its name (argv 1) on a port (argv 2), until its stdin ends. */
const SERVER = `const [name, port] = process.argv.slice(1);
const udp = require('dgram').createSocket('udp4');
udp.on('message', (_, from) => udp.send(name, from.port, from.address));
const tcp = require('net').createServer((socket) => socket.end(name));
udp.bind(port, () => tcp.listen(port, () => console.log('ready')));
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
export async function serve(trial: Trial, container: string, port: number): Promise<Server> {
  const argv = [process.execPath, '-e', SERVER, container, String(port)];
  const [file = '', ...args] = trial.sandbox.inside(argv, container);
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  await Promise.race([once(child.stdout, 'data'), once(child, 'close')]);
  if (child.exitCode !== null) fail(`the echo server in ${container} ended`);
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
export async function ask(trial: Trial, { protocol, address, port, from, ownPort = 0 }: Question): Promise<string> {
  const argv = [process.execPath, '-e', CLIENT, protocol, address, String(port), String(ownPort)];
  return await trial.sandbox.must(argv, from);
}
