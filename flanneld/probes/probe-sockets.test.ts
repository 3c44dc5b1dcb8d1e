// Tests the sockets on the kernel's loopback device, which has every address of 127.0.0.0/8: two nodes that answer each other, and peers of
// which only the kernel answers.

import { createSocket } from 'node:dgram';
import { describe, expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../lib/clock-node.ts';
import { parseIp, parsePrefix } from '../../lib/ip.ts';
import { type Mac, parseMac } from '../../lib/mac.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { probePeers } from './probe-peers.ts';
import { ProbeSockets } from './probe-sockets.ts';
import { Responder } from './responder.ts';
import { type ProbePlace, type Target, targetOf } from './target.ts';

const PATIENT_MS = 5000;
const sys = openKoffiSyscalls();
let nonces = 0n;
const tools = { sys, clock: systemClock, randomNonce: () => ++nonces, random: () => 0.5 };
/** Each process has a port of its own, because tests may run at the same time. */
const port = 20_000 + (process.pid % 20_000);

/** A node at 127.0.NUMBER.1, whose tunnel device has 127.0.NUMBER.0. */
function placeOf(number: number): ProbePlace & { readonly mac: Mac } {
  return {
    family: 4,
    subnet: parsePrefix(`127.0.${number}.0/24`),
    mac: parseMac(`02:00:00:00:00:${number.toString(16).padStart(2, '0')}`),
    tunnel: { type: 'vxlan', device: 'lo', vni: 1, port: 8472, overheadBytes: 50 },
    mtu: 1450,
    iface: 'lo',
    local: parseIp(`127.0.${number}.1`),
    ifindexes: [1],
  };
}

function targetAt(number: number): Target {
  const { subnet, local: publicIp, mac } = placeOf(number);
  return targetOf(`node-${number}`, { subnet, publicIp, mac });
}

/** Opens a node that knows the other. */
function open(number: number, other: number, answers = true, at = port) {
  const place = placeOf(number);
  const responder = answers ? new Responder(place) : undefined;
  responder?.setTargets([targetAt(other)]);
  const errors: unknown[] = [];
  const sockets = new ProbeSockets(place, at, responder, tools, (error) => errors.push(error));
  onTestFinished(async () => {
    await sockets.close();
    expect(errors).toEqual([]);
  });
  return { sockets, responder };
}

describe('two agents', () => {
  test('answer each other at full size, and say who they are and when they were last asked', async () => {
    const [one] = [open(11, 12), open(12, 11)];
    const full = await one.sockets.ask(targetAt(12), { way: 'tunnel', bytes: 1422 }, PATIENT_MS);
    expect(full).toMatchObject({ kind: 'answered', answer: { bytes: 1422, heard: { agoMs: undefined } } });
    const node = await one.sockets.ask(targetAt(12), { way: 'node' }, PATIENT_MS);
    const identity = { vtep: parseIp('127.0.12.0'), mac: placeOf(12).mac, vni: 1, port: 8472 };
    expect(node).toMatchObject({ kind: 'answered', answer: { identity, heard: { bytes: 1422 } } });
    expect('rttMs' in node && node.rttMs < PATIENT_MS).toBe(true);
  });

  test('answer without a checksum when they are asked without one', async () => {
    const [one] = [open(13, 14), open(14, 13)];
    const reply = await one.sockets.ask(targetAt(14), { way: 'tunnel', noChecksum: true }, PATIENT_MS);
    expect(reply.kind).toBe('answered');
  });

  test('do not answer a node whose lease they do not know', async () => {
    const [one] = [open(15, 16), open(16, 99)];
    const reply = await one.sockets.ask(targetAt(16), { way: 'tunnel' }, 300);
    expect(reply.kind).toBe('silent');
  });
});

describe('two agents that read at intervals', () => {
  test('answer each other, and hear of a closed port', async () => {
    const [one, two] = [open(17, 18), open(18, 17)];
    for (const { sockets } of [one, two]) sockets.readEveryMs = 40;
    // The interval matters only once something has arrived.
    await one.sockets.ask(targetAt(18), { way: 'tunnel' }, PATIENT_MS);
    for (const way of ['tunnel', 'node'] as const) {
      const reply = await one.sockets.ask(targetAt(18), { way }, PATIENT_MS);
      expect(reply.kind).toBe('answered');
    }
    const closed = await one.sockets.ask(targetAt(18), { way: 'node', port: port + 1 }, PATIENT_MS);
    expect(closed).toMatchObject({ kind: 'refused', way: 'node' });
  });

  test('end at once, though they would rest for an hour', async () => {
    const [one, two] = [open(19, 20), open(20, 19)];
    for (const { sockets } of [one, two]) sockets.readEveryMs = 3_600_000;
    await one.sockets.ask(targetAt(20), { way: 'tunnel' }, PATIENT_MS);
    await Promise.all([one.sockets.close(), two.sockets.close()]);
  });
});

describe('a kernel without an agent', () => {
  test('answers that the port is closed, in the tunnel and on the underlay', async () => {
    const { sockets } = open(21, 22);
    const tunnel = await sockets.ask(targetAt(22), { way: 'tunnel', bytes: 1422 }, PATIENT_MS);
    const node = await sockets.ask(targetAt(22), { way: 'node' }, PATIENT_MS);
    expect([tunnel, node]).toMatchObject([
      { kind: 'refused', way: 'tunnel', by: parseIp('127.0.22.0') },
      { kind: 'refused', way: 'node', by: parseIp('127.0.22.1') },
    ]);
  });

  test('answers the same for the VXLAN port where nothing receives tunnel packets', async () => {
    const { sockets } = open(23, 24);
    const frame = await sockets.ask(targetAt(24), { way: 'frame', mac: placeOf(24).mac }, PATIENT_MS);
    expect(frame).toMatchObject({ kind: 'refused', way: 'node' });
  });

  test('refuses a TCP connection', async () => {
    const { sockets } = open(25, 26);
    const reply = await sockets.ask(targetAt(26), { way: 'tcp', port: 1 }, PATIENT_MS);
    expect(reply).toMatchObject({ kind: 'refused', way: 'node' });
  });

  test('keeps the errors of many probes apart', async () => {
    const { sockets } = open(27, 28);
    const asked = [28, 29, 30, 31].map((number) => sockets.ask(targetAt(number), { way: 'tunnel' }, PATIENT_MS));
    const replies = await Promise.all(asked);
    const want = [28, 29, 30, 31].map((number) => parseIp(`127.0.${number}.0`));
    expect(replies.map((reply) => ('by' in reply ? reply.by : reply))).toEqual(want);
  });
});

test('a full-size packet that the device cannot carry is not sent', async () => {
  const { sockets } = open(33, 34);
  const reply = await sockets.ask(targetAt(34), { way: 'tunnel', bytes: 65_507 + 1 }, PATIENT_MS);
  expect(reply).toEqual({ kind: 'unsent', code: 'EMSGSIZE' });
});

test('an agent whose port is taken asks from another one, and says that it does not answer', async () => {
  const holder = createSocket('udp4');
  onTestFinished(() => void holder.close());
  await new Promise<void>((resolve) => holder.bind(port, '127.0.35.0', resolve));
  const { sockets } = open(35, 36);
  open(36, 35);
  expect(sockets.problem).toBe(
    `UDP port ${port} is in use by another program, so this node does not answer other nodes' probes`,
  );
  expect((await sockets.ask(targetAt(36), { way: 'tunnel' }, PATIENT_MS)).kind).toBe('answered');
});

test('garbage and forged answers change nothing, and the sockets go on', async () => {
  const [one] = [open(37, 38), open(38, 37)];
  const stranger = createSocket('udp4');
  onTestFinished(() => void stranger.close());
  const reply = one.sockets.ask(targetAt(39), { way: 'tunnel', to: parseIp('127.0.38.0'), port: port + 1 }, 400);
  for (let length = 0; length < 200; length++) {
    const packet = Buffer.alloc(length, length);
    packet.write('WEFT\x01\x02', 0, 'latin1');
    stranger.send(packet, port, '127.0.37.0');
  }
  expect((await reply).kind).not.toBe('answered');
  expect((await one.sockets.ask(targetAt(38), { way: 'tunnel' }, PATIENT_MS)).kind).toBe('answered');
});

test('probePeers needs no agent on this node, and leaves no socket behind', async () => {
  open(42, 41);
  const peers = [42, 43].map((number) => {
    const { subnet, local: publicIp, mac } = placeOf(number);
    return { key: `node-${number}`, subnet, publicIp, mac };
  });
  const seen = await probePeers({ node: 'node-41', port, sides: [{ place: placeOf(41), peers }], tools });
  expect(seen).toEqual({ findings: [], probed: 2, of: 2 });
});
