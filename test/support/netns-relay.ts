// Lets programs in a network namespace of a test reach a server on this side's loopback, at the same address and port, and the other
// way round.

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Background } from './background.ts';

const inside = `
const net = require('node:net');
const [port, path] = process.argv.slice(1);
net.createServer((client) => {
  const server = net.connect(path);
  client.pipe(server).pipe(client);
  for (const socket of [client, server]) socket.on('error', () => { client.destroy(); server.destroy(); });
}).listen(Number(port), '127.0.0.1', () => console.log('up'));
`;

/**
 * Starts the relay. All traffic crosses through a Unix socket in a file, since such sockets work across network namespaces. Resolves
 * with a function that stops it. `onAnswer` is called with the number of bytes from the server.
 */
export async function startRelay(
  netnsPid: number,
  target: URL,
  onAnswer?: (bytes: number) => void,
): Promise<() => Promise<void>> {
  const dir = mkdtempSync(join(tmpdir(), 'weft-relay-'));
  const path = join(dir, 'socket');
  const sockets = new Set<Socket>();
  const track = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  };
  const outside = createServer((client) => {
    const server = connect(Number(target.port), target.hostname);
    for (const socket of [client, server]) track(socket);
    server.on('close', () => client.destroy());
    if (onAnswer !== undefined) server.on('data', (chunk: Buffer) => onAnswer(chunk.length));
    client.pipe(server).pipe(client);
  }).listen(path);
  await once(outside, 'listening');
  const argv: [string, ...string[]] = ['nsenter', '-t', String(netnsPid), '-n', process.execPath];
  const relay = new Background([...argv, '-e', inside, '--', target.port, path]);
  await relay.ready(() => Promise.resolve(relay.output.includes('up')), 20_000);
  return async () => {
    await relay.stop();
    for (const socket of sockets) socket.destroy();
    await once(outside.close(), 'close');
    rmSync(dir, { recursive: true, force: true });
  };
}

const intoNetns = `
const net = require('node:net');
const [port, path] = process.argv.slice(1);
net.createServer((client) => {
  const server = net.connect(Number(port), '127.0.0.1');
  client.pipe(server).pipe(client);
  for (const socket of [client, server]) socket.on('error', () => { client.destroy(); server.destroy(); });
}).listen(path, () => console.log('up'));
`;

/** The same in the other direction: this side's loopback leads to a server on the namespace's loopback. */
export async function startRelayInto(netnsPid: number, port: number): Promise<() => Promise<void>> {
  const dir = mkdtempSync(join(tmpdir(), 'weft-relay-'));
  const path = join(dir, 'socket');
  const argv: [string, ...string[]] = ['nsenter', '-t', String(netnsPid), '-n', process.execPath];
  const relay = new Background([...argv, '-e', intoNetns, '--', String(port), path]);
  await relay.ready(() => Promise.resolve(relay.output.includes('up')), 20_000);
  const sockets = new Set<Socket>();
  const outside = createServer((client) => {
    const server = connect(path);
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => sockets.delete(socket));
    }
    server.on('close', () => client.destroy());
    client.on('close', () => server.destroy());
    client.pipe(server).pipe(client);
  }).listen(port, '127.0.0.1');
  await once(outside, 'listening');
  return async () => {
    await relay.stop();
    for (const socket of sockets) socket.destroy();
    await once(outside.close(), 'close');
    rmSync(dir, { recursive: true, force: true });
  };
}
