// What a packet looks like on the wire and what a pod receives, captured and compared field by field: on the classic way, with `redirect`
// and with `full`, in both directions, with a peer that has no fast path, like a flannel node.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formatIp, ipFromBytes } from '../../lib/ip.ts';
import { macFromBytes } from '../../lib/mac.ts';
import { internetChecksum, viewOf } from '../../lib/packet-bytes.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import {
  addTable,
  counted,
  fastPathOf,
  INPUT_RULE,
  podsOf,
  since,
  startFastLab,
  untilFull,
  untilOff,
  untilRedirect,
} from '../support/fast-path.ts';

const SEND_PORT = 5000;
const TUNNEL_PORT = 8472;

type Mode = 'full' | 'redirect' | 'classic';
/** The classic way comes last: connections that it tracks would keep the same packets from the programs. */
const MODES: readonly Mode[] = ['full', 'redirect', 'classic'];

let lab: Lab;
let one: LabNode;
let two: LabNode;
beforeAll(async () => {
  lab = await startFastLab({ mode: 'full' });
  [one, two] = [lab.node('node-1'), lab.node('node-2')];
  await setLoose(two, 0);
  await untilOff(two, /loose/); // no programs run there
  await untilFull(one);
});
afterAll(() => lab?.down());

async function setLoose(node: LabNode, value: 0 | 1): Promise<void> {
  await node.run(['sysctl', '-qw', `net.netfilter.nf_conntrack_tcp_loose=${value}`]);
}

async function setMode(mode: Mode): Promise<void> {
  if (mode === 'redirect') {
    await addTable(one, INPUT_RULE);
    await untilRedirect(one, /admin/);
  } else if (mode === 'classic') {
    await setLoose(one, 0);
    await untilOff(one, /loose/);
  } else {
    await one.exec(['nft', 'delete', 'table', 'inet', 'admin']);
    await setLoose(one, 1);
    await untilFull(one);
  }
}

/** A program that prints the frames that arrive at a device with this UDP port at byte `at`, in hexadecimal, as many as asked for. */
function capture(device: string, at: number, port: number, frames: number): string[] {
  return python(
    'import socket, sys',
    's = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))',
    `s.bind(("${device}", 0)); s.settimeout(10)`,
    'print("ready", flush=True)',
    `left = ${frames}`,
    'while left > 0:',
    '  frame, address = s.recvfrom(70000)',
    `  if address[2] != 4 and len(frame) >= ${at + 2} and frame[23] == 17 and int.from_bytes(frame[${at}:${at + 2}], "big") == ${port}:`,
    '    print(frame.hex(), flush=True); left -= 1',
  );
}

/** A program that sends datagrams of these lengths, one with each TOS. */
function send(to: string, port: number): string[] {
  return python(
    'import socket',
    's = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)',
    `s.bind(("0.0.0.0", ${SEND_PORT}))`,
    `for tos, length in ${JSON.stringify(PACKETS)}:`,
    '  s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)',
    `  s.sendto(bytes(i % 251 for i in range(length)), ("${to}", ${port}))`,
  );
}

/** TOS, with each ECN mark and some DSCP, and the bytes of the payload. */
const PACKETS: readonly (readonly [tos: number, length: number])[] = [
  [0, 1],
  [1, 100],
  [2, 1000],
  [3, 7],
  [0xb8, 1422],
  [0xff, 512],
];

const python = (...lines: readonly string[]): string[] => ['python3', '-c', lines.join('\n')];

/** Sends the packets from one pod to another, and returns the frames that `watch` captures meanwhile in a network namespace. */
async function seen(netns: string, watch: readonly string[], from: LabPod, to: LabPod, port: number) {
  const watcher = spawn('nsenter', [`--net=${netns}`, '--', ...watch], { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  watcher.stdout.on('data', (part: Buffer) => {
    printed += part;
  });
  const closed = once(watcher, 'close');
  // The capture must have begun before the packets are sent.
  await Promise.race([once(watcher.stdout, 'data'), closed]);
  const sent = await from.exec(send(to.ip, port));
  expect(sent.exitCode, sent.stderr).toBe(0);
  await closed;
  const frames = printed.split('\n').filter((line) => line !== '' && line !== 'ready');
  expect(frames.length).toBe(PACKETS.length);
  return frames.map((line) => Buffer.from(line, 'hex'));
}

/** Every field of a tunnel's packet except the IP header's id, which is random in the programs and the kernel alike. */
function fields(frame: Buffer): Record<string, string | number | boolean> {
  const view = viewOf(frame);
  return {
    etherType: view.getUint16(12),
    to: macFromBytes(frame.subarray(0, 6)),
    from: macFromBytes(frame.subarray(6, 12)),
    versionAndLength: view.getUint8(14),
    tos: view.getUint8(15),
    totalLength: view.getUint16(16),
    fragment: view.getUint16(20),
    ttl: view.getUint8(22),
    protocol: view.getUint8(23),
    isChecksumRight: internetChecksum(frame.subarray(14, 34)) === 0,
    source: formatIp(ipFromBytes(frame.subarray(26, 30))),
    destination: formatIp(ipFromBytes(frame.subarray(30, 34))),
    sourcePort: view.getUint16(34),
    destinationPort: view.getUint16(36),
    udpLength: view.getUint16(38),
    hasUdpChecksum: view.getUint16(40) !== 0,
    vxlanFlags: view.getUint32(42),
    vni: view.getUint32(46),
    inner: withoutId(frame.subarray(50)),
  };
}

test('the tunnel’s packets to a peer are the same by either way, except for the outer UDP checksum', async () => {
  const [[a], [c]] = [podsOf(one), podsOf(two)];
  const found = new Map<Mode, Record<string, string | number | boolean>[]>();
  for (const mode of MODES) {
    await setMode(mode);
    const before = counted(one);
    const frames = await seen(`/proc/${two.pid}/ns/net`, capture('eth0', 86, 7001, PACKETS.length), a, c, 7001);
    found.set(mode, frames.map(fields));
    const way = mode === 'full' ? 'encapsulated' : 'to-peer';
    if (mode !== 'classic') expect(since(one, before, way)).toBeGreaterThanOrEqual(PACKETS.length);
    else expect((await fastPathOf(one)).on).toBe(false);
  }
  const classic = found.get('classic') ?? [];
  expect(classic[0]).toMatchObject({
    destinationPort: TUNNEL_PORT,
    vni: 0x100,
    hasUdpChecksum: true,
    isChecksumRight: true,
  });
  expect(found.get('redirect')).toEqual(classic);
  expect(found.get('full')).toEqual(classic.map((each) => ({ ...each, hasUdpChecksum: false })));
  await setMode('full');
});

test.for([
  { name: 'a peer', port: 7002, pods: () => [podsOf(two)[0], podsOf(one)[0]] as const },
  { name: 'this node, at a peer’s pod', port: 7003, pods: () => [podsOf(one)[0], podsOf(two)[1]] as const },
  { name: 'another pod of this node', port: 7004, pods: () => podsOf(one) },
])('what a pod receives from $name is the same in each way, byte for byte', async ({ port, pods }) => {
  const [from, to] = pods();
  const found = new Map<Mode, string[]>();
  for (const mode of MODES) {
    await setMode(mode);
    const frames = await seen(to.netnsFromOutside, capture('eth0', 36, port, PACKETS.length), from, to, port);
    found.set(mode, frames.map(withoutId));
  }
  expect(found.get('redirect')).toEqual(found.get('classic'));
  expect(found.get('full')).toEqual(found.get('classic'));
  await setMode('full');
});

/** A frame without the IP header's id, which the sending pod counts up, and without the header's checksum, which is verified here. */
function withoutId(frame: Buffer): string {
  expect(internetChecksum(frame.subarray(14, 34))).toBe(0);
  for (const at of [18, 24]) frame.fill(0, at, at + 2);
  return frame.toString('hex');
}
