// IPv6 between pods of a dual-stack cluster takes the fast path as IPv4 does: to another node and on one node, by TCP and UDP. Tracked
// connections and packets that are too big go the classic way, and the answers are the same with the fast path and without.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { waitUntil } from '../lab/processes.ts';
import { addTable, counted, fastPathOf, podsOf, since, startFastLab, untilOff } from '../support/fast-path.ts';

const LOOK_MS = 20_000;
const PORT = 8100;
const netConf = {
  ...{ Network: '10.244.0.0/16', EnableIPv6: true, IPv6Network: 'fd00:244::/48', Backend: { Type: 'vxlan' } },
};
const STRANGER = 'table inet stranger { chain f { type filter hook forward priority 10; counter accept; } }';

/** Answers with the client's address and the length of what it received; over TCP also with its own length. argv: port. */
const SERVER = `
const port = Number(process.argv[1]);
const udp = require('dgram').createSocket('udp6');
udp.on('message', (bytes, from) => udp.send(from.address + ' ' + bytes.length, from.port, from.address));
require('net').createServer({ allowHalfOpen: true }, (socket) => {
  let length = 0;
  socket.on('error', () => {}).on('data', (bytes) => (length += bytes.length));
  socket.on('end', () => socket.end(socket.remoteAddress + ' ' + length));
}).listen(port, '::', () => udp.bind(port, () => console.log('ready')));`;

/** Sends a number of bytes and prints the answer, or nothing after 3 s. argv: protocol, address, port, bytes. */
const CLIENT = `
const [protocol, host, port, bytes] = process.argv.slice(1);
const done = (text) => { process.stdout.write(String(text)); process.exit(0); };
setTimeout(done, 3000, '');
const body = Buffer.alloc(Number(bytes), 1);
if (protocol === 'tcp') require('net').connect({ host, port }).on('data', done).on('error', () => done('')).end(body);
else { const udp = require('dgram').createSocket('udp6'); udp.on('message', done).send(body, port, host); }`;

let lab: Lab;
let one: LabNode;
let two: LabNode;
beforeAll(async () => {
  lab = await startFastLab({ netConf, isOn: false });
  [one, two] = [lab.node('node-1'), lab.node('node-2')];
  for (const node of lab.nodes) await untilBoth(node);
});
afterAll(() => lab?.down());

/** Waits until the fast path is on for both addresses of all pods and for both subnets of the peer. */
async function untilBoth(node: LabNode): Promise<void> {
  const isOn = async (): Promise<boolean> => {
    const { on, pods, peers } = await fastPathOf(node);
    return on && pods === 2 * node.pods.length && peers === 2;
  };
  await waitUntil(isOn, LOOK_MS, `the fast path of ${node.name}`);
}

function ipv6Of({ name, ips }: LabPod): string {
  const ip = ips.find((each) => each.includes(':'));
  if (ip === undefined) throw new Error(`${name} has no IPv6 address`);
  return ip;
}

async function serve(pod: LabPod): Promise<void> {
  const argv = [`--net=${pod.netnsFromOutside}`, process.execPath, '-e', SERVER, String(PORT)];
  const child = spawn('nsenter', argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
}

async function ask(pod: LabPod, protocol: 'tcp' | 'udp', to: LabPod, bytes: number): Promise<string> {
  const argv = [process.execPath, '-e', CLIENT, protocol, ipv6Of(to), String(PORT), String(bytes)];
  return (await pod.exec(argv)).stdout;
}

test.for([
  { name: 'on another node', reasons: ['to-peer'] as const, to: () => podsOf(two)[0] },
  { name: 'on the same node', reasons: ['to-pod'] as const, to: () => podsOf(one)[1] },
])('a pod $name is reached by the fast path and in the same way without it', async ({ reasons, to }) => {
  const [a, target] = [podsOf(one)[0], to()];
  await serve(target);
  // The last question is fragmented, and goes the classic way.
  const questions = [
    ['tcp', 1, 'fast'],
    ['tcp', 300_000, 'fast'],
    ['udp', 1, 'fast'],
    ['udp', 1300, 'fast'],
    ['udp', 9000, 'classic'],
  ] as const;
  for (const [protocol, bytes, way] of questions) {
    const before = counted(one);
    expect(await ask(a, protocol, target, bytes)).toBe(`${ipv6Of(a)} ${bytes}`);
    const fast = reasons.reduce((sum, reason) => sum + since(one, before, reason), 0);
    if (way === 'fast') expect(fast).toBeGreaterThan(0);
  }
  await addTable(one, STRANGER);
  await untilOff(one, /stranger/);
  for (const [protocol, bytes] of questions) {
    expect(await ask(a, protocol, target, bytes)).toBe(`${ipv6Of(a)} ${bytes}`);
  }
  await one.run(['nft', 'delete table inet stranger']);
  await untilBoth(one);
});
