// A node with one usable address and two pods that take turns: ADD, a connection that must reach the pod which has the address now, DEL,
// and no veth afterwards. The next ADD comes at once, so it meets whatever a DEL leaves behind.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { devicesNamed, heldAddresses, keptFiles } from './observe.ts';
import { addressOf, callPlugin, flannelPart, type Place, problemOf } from './plugin.ts';

const PORT = 8080;
const ADDRESS = '10.9.0.2';
const CONNECT_LIMIT_MS = 5_000;
/** Sends its name to every client. */
const SERVER = `require('net').createServer((s) => s.on('error', () => 0).end(process.argv[1])).listen(${PORT}, '0.0.0.0', () => console.log('up'))`;

export interface OneAddressReport {
  readonly rounds: number;
  readonly failures: string[];
  /** Rounds after whose DEL a veth was on the node or an eth0 in the pod. */
  readonly seen: number;
}

interface Pod {
  readonly container: string;
  readonly netns: string;
  readonly pid: number;
  end(): void;
}

async function startPod(container: string): Promise<Pod> {
  const netns = `/run/netns/${container}`;
  const argv = [`--net=${netns}`, process.execPath, '-e', SERVER, container];
  const server = spawn('nsenter', argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(server.stdout, 'data');
  return { container, netns, pid: server.pid ?? 0, end: () => server.kill('SIGKILL') };
}

/** The name of the pod that answers at the address; rejects when none does. */
function whoAnswers(): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: ADDRESS, port: PORT, timeout: CONNECT_LIMIT_MS });
    let said = '';
    socket.on('data', (chunk) => {
      said += chunk.toString();
    });
    socket.on('end', () => resolve(said));
    socket.on('timeout', () => socket.destroy(new Error(`no answer in ${CONNECT_LIMIT_MS} ms`)));
    socket.on('error', reject);
  });
}

async function round(place: Place, pod: Pod): Promise<string | undefined> {
  const part = flannelPart(place);
  const added = await callPlugin(place, 'ADD', pod, part);
  const problem = problemOf('ADD', added);
  if (problem !== undefined) return problem;
  const address = addressOf(added);
  if (address !== ADDRESS) return `ADD: wanted ${ADDRESS}, got ${address}`;
  const answer = await whoAnswers().catch((error: Error) => `connect: ${error.message}`);
  const deleted = problemOf('DEL', await callPlugin(place, 'DEL', pod, part));
  return answer === pod.container ? deleted : `wanted ${pod.container}, got ${answer}`;
}

function isSeen({ pid }: Pod): boolean {
  return devicesNamed('veth').length > 0 || readFileSync(`/proc/${pid}/net/dev`, 'utf8').includes('eth0');
}

/** The node's subnet.env must leave one address, 10.9.0.2, and the netns `c1` and `c2` must exist. */
export async function stressOneAddress(place: Place, rounds: number): Promise<OneAddressReport> {
  const pods = [await startPod('c1'), await startPod('c2')];
  const failures: string[] = [];
  let seen = 0;
  try {
    for (let n = 0; n < rounds; n++) {
      const pod = pods[n % pods.length] as Pod;
      const problem = await round(place, pod);
      if (problem !== undefined) failures.push(`round ${n}: ${problem}`);
      if (isSeen(pod)) seen++;
      const left = [...heldAddresses(place).keys(), ...keptFiles(place)];
      if (left.length > 0) failures.push(`round ${n}: left: ${left.join(' ')}`);
    }
  } finally {
    for (const pod of pods) pod.end();
  }
  return { rounds, failures, seen };
}
