import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Pages } from '../http-server.ts';
import { fetchStatus } from './client.ts';
import { serveSocket, socketPathFor } from './socket.ts';

function makeDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'weft-status-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const page = (text: string, status = 200): Pages =>
  new Map([['/status', () => ({ status, type: 'application/json', text })]]);

async function serve(subnetFile: string, pages: Pages) {
  const server = await serveSocket(socketPathFor(subnetFile), pages);
  onTestFinished(() => server.close());
  return server;
}

/** A socket file on which nobody listens, as a killed agent leaves it. */
function leaveStale(path: string): void {
  const program = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', program, path]);
}

describe('serveSocket', () => {
  test('answers its owner and no other user, and is removed afterwards', async () => {
    const subnetFile = join(makeDir(), 'run', 'subnet.env');
    const server = await serve(subnetFile, page('{"node":"node-1"}'));
    const stat = statSync(`${subnetFile}.sock`);
    expect([stat.isSocket(), stat.mode & 0o777]).toEqual([true, 0o600]);
    expect(await fetchStatus(subnetFile)).toEqual({ node: 'node-1' });
    await server.close();
    expect(existsSync(`${subnetFile}.sock`)).toBe(false);
  });

  test('does not change the umask of the process', async () => {
    const before = process.umask();
    await serve(join(makeDir(), 'subnet.env'), page('{}'));
    expect(process.umask()).toBe(before);
  });

  test('replaces the socket of an agent that was killed', async () => {
    const subnetFile = join(makeDir(), 'subnet.env');
    leaveStale(`${subnetFile}.sock`);
    expect(statSync(`${subnetFile}.sock`).isSocket()).toBe(true);
    await serve(subnetFile, page('{"pid":5}'));
    expect(await fetchStatus(subnetFile)).toEqual({ pid: 5 });
  });

  test('refuses to replace the socket of a running agent', async () => {
    const subnetFile = join(makeDir(), 'subnet.env');
    await serve(subnetFile, page('{"pid":5}'));
    await expect(serveSocket(`${subnetFile}.sock`, new Map())).rejects.toThrow(
      `status: listen on ${subnetFile}.sock: EADDRINUSE (another agent with this --subnet-file is running)`,
    );
    expect(await fetchStatus(subnetFile)).toEqual({ pid: 5 });
  });

  test('removes nothing but a socket', async () => {
    const path = join(makeDir(), 'subnet.env.sock');
    writeFileSync(path, 'keep');
    await expect(serveSocket(path, new Map())).rejects.toThrow('EEXIST (is no socket)');
    expect(existsSync(path)).toBe(true);
  });

  test('reports a path that is too long for a socket', async () => {
    await expect(serveSocket(`/${'x'.repeat(107)}`, new Map())).rejects.toThrow('too long (107 bytes at most)');
  });
});

describe('fetchStatus', () => {
  test('says that no agent is there', async () => {
    const subnetFile = join(makeDir(), 'subnet.env');
    await expect(fetchStatus(subnetFile)).rejects.toThrow(
      `status: ask ${subnetFile}.sock: ENOENT (no agent runs with this --subnet-file)`,
    );
    leaveStale(`${subnetFile}.sock`);
    await expect(fetchStatus(subnetFile)).rejects.toThrow('ECONNREFUSED (the agent is not running)');
  });

  test.for([
    { name: 'an error page', pages: page('no', 500), want: /: HTTP 500 \(is the agent of another version\?\)$/ },
    { name: 'a page that is not there', pages: new Map(), want: /: HTTP 404 / },
    { name: 'no JSON', pages: page('hello'), want: /: invalid \(the answer is no JSON\)$/ },
  ])('says what is wrong with the answer: $name', async ({ pages, want }) => {
    const subnetFile = join(makeDir(), 'subnet.env');
    await serve(subnetFile, pages);
    await expect(fetchStatus(subnetFile)).rejects.toThrow(want);
  });

  test('reports that the other end closed the connection', async () => {
    const subnetFile = join(makeDir(), 'subnet.env');
    const server = createServer((socket) => socket.destroy());
    onTestFinished(() => void server.close());
    await new Promise<void>((resolve) => server.listen(`${subnetFile}.sock`, resolve));
    await expect(fetchStatus(subnetFile)).rejects.toThrow(/: (ECONNRESET|EPIPE) /);
  });
});
