// Stands in for thousands of peers of an agent that probes: a program with one UDP socket for each peer, bound to the address of that
// peer's tunnel device. It answers the agent's questions as a peer's agent does. For each question that it receives, one of the peers sends
// the agent a question within a second, because in a cluster every node receives as many questions as it sends. Its argument is a
// CrowdSpec. It prints `ready` when all sockets are open, and then runs until it is killed.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { encodeAnswer, encodeQuestion, readQuestion } from '../../flanneld/probes/wire.ts';
import { formatIp } from '../../lib/ip.ts';
import { PORT, subnetOf, VNI, vtepMac } from '../peers/overlay.ts';
import type { CrowdSpec } from './crowd-spec.ts';

/** Questions to the agent are spread over this time, as they would be in a cluster. */
const SPREAD_MS = 1000;

async function main({ first, last, port }: CrowdSpec): Promise<void> {
  const peers: Socket[] = [];
  for (let node = first; node <= last; node++) peers.push(await openPeer(node, port, peers));
  process.stdout.write('ready\n');
}

/** `peers`: all of them; a random one sends the question to the agent. */
async function openPeer(node: number, port: number, peers: readonly Socket[]): Promise<Socket> {
  const vtep = subnetOf(node).ip;
  const identity = { vtep, mac: vtepMac(node), vni: VNI, port: PORT };
  const socket = createSocket('udp4');
  let heardAtMs: number | undefined;
  let nonces = 0n;
  socket.on('message', (packet, from) => {
    const nonce = readQuestion(packet);
    if (nonce === undefined) return;
    const nowMs = performance.now();
    const agoMs = heardAtMs === undefined ? undefined : nowMs - heardAtMs;
    const bytes = packet.length;
    const heard = { agoMs, bytes: heardAtMs === undefined ? 0 : bytes };
    heardAtMs = nowMs;
    socket.send(encodeAnswer({ nonce, heldMs: 0, heard, identity, bytes }), from.port, from.address);
    const other = peers[Math.floor(Math.random() * peers.length)] ?? socket;
    nonces += 1n;
    const question = encodeQuestion(nonces, bytes);
    setTimeout(() => other.send(question, port, from.address), Math.random() * SPREAD_MS);
  });
  socket.bind(port, formatIp(vtep));
  await once(socket, 'listening');
  return socket;
}

main(JSON.parse(process.argv[2] ?? '') as CrowdSpec).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
