// Tests the switch of virtual machines with sockets in place of machines.

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startSwitch } from './switch.mjs';

let folder: string;
let end: () => Promise<void>;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'weft-switch-'));
  end = await startSwitch(join(folder, 'socket'));
});
afterEach(async () => {
  await end();
  rmSync(folder, { recursive: true });
});

function frame(text: string): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(text.length);
  return Buffer.concat([head, Buffer.from(text)]);
}

interface Port {
  readonly socket: Socket;
  got(): string;
}

async function port(): Promise<Port> {
  const socket = connect(join(folder, 'socket'));
  let text = '';
  socket.on('data', (bytes) => (text += bytes.toString('latin1')));
  await once(socket, 'connect');
  return { socket, got: () => text };
}

test('every other port gets a frame, once it is whole, and one that has gone disturbs nobody', async () => {
  const [a, b, c] = [await port(), await port(), await port()];
  const bytes = Buffer.concat([frame('hello'), frame('world')]);
  a.socket.write(bytes.subarray(0, 7));
  await expect.poll(() => b.got()).toBe('');
  b.socket.write(frame('b'));
  const fromB = frame('b').toString('latin1');
  await expect.poll(() => c.got()).toBe(fromB);
  a.socket.write(bytes.subarray(7));
  const whole = bytes.toString('latin1');
  await expect.poll(() => [a.got(), b.got(), c.got()]).toEqual([fromB, whole, fromB + whole]);
  b.socket.destroy();
  await once(b.socket, 'close');
  c.socket.write(frame('again'));
  await expect.poll(() => a.got()).toBe(fromB + frame('again').toString('latin1'));
});
