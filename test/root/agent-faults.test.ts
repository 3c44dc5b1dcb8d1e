// Faults are injected into the built agent (test/support/injected-fault.cjs) while numbered packets pass between pods of its node and a
// peer's. The agent must go on, or end with one log line and an exit code other than 0. No packet may be lost.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { errnoName } from '../../lib/sys/errno.ts';
import { agentPid, logLines, lowestFreeDescriptor, openDescriptors } from '../faults/agent-process.ts';
import { type Flow, startFlow } from '../faults/probe/flow.ts';
import { queueDrops } from '../faults/probe/queue-drops.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { dropLease, writeLease } from '../lab/support/leases.ts';

const LOOK_MS = 20_000;
/** The time after which a blocked event loop ends the agent, in milliseconds, and more for a busy machine. */
const STILL_MS = 30_000 + LOOK_MS;
/** How long opening all connections may take. A busy machine needs milliseconds for each. */
const CROWD_MS = 100_000;
const FAULT_FILE = '/run/lab/fault.js';
const preload = join(import.meta.dirname, '../support/injected-fault.cjs');
const peer = { subnet: '10.244.200.0/24', publicIp: '192.168.50.99', mac: '02:00:00:00:0a:01' };
const netConf = { Network: '10.244.0.0/16', SubnetMax: '10.244.50.0', Backend: { Type: 'vxlan' } };

const CROWDS = ['127.0.0.2', '127.0.0.3'];
/** A program that opens many connections at once and keeps them open. It says when it is done. */
const CROWD = [
  'import resource, socket, sys, time',
  'resource.setrlimit(resource.RLIMIT_NOFILE, (12000, 12000))',
  'crowd = [socket.socket() for n in range(10000)]',
  'for one in crowd:',
  // IP_BIND_ADDRESS_NO_PORT: each program has its own source address and thus all its ports, so that a free port is found quickly.
  '  one.setsockopt(socket.IPPROTO_IP, 24, 1); one.bind((sys.argv[1], 0))',
  '  one.setblocking(False); one.connect_ex(("127.0.0.1", 10256))',
  'print("all", flush=True)',
  'time.sleep(120)',
].join('\n');

let lab: Lab;
let node: LabNode;
let flow: Flow;
let drops = 0;

beforeAll(async () => {
  const env = { NODE_OPTIONS: `--require=${preload}`, FAULT_FILE };
  lab = await startLab({ nodes: 3, netConf, agent: { env } });
  node = lab.node('node-1');
  const pods = [await node.addPod(), await lab.node('node-2').addPod()] as const;
  drops = queueDrops();
  flow = await startFlow(...pods);
});
afterAll(async () => {
  await flow?.abandon();
  await lab?.down();
});

beforeEach(async () => {
  if (!(await node.agent.state()).running) await node.agent.start();
  await node.agent.ready();
});
/** After each test, whatever happened to the agent, every packet must have arrived. */
afterEach(async () => {
  await flow.untilInRow(50, LOOK_MS);
  const { sent, received } = await flow.progress();
  // The newest packets may still be under way, and the agent is not responsible for what the machine's own queues dropped.
  expect(sent - received).toBeLessThanOrEqual(50 + queueDrops() - drops);
});

/** Returns when the agent has the program: it removes the file before it runs it. */
async function inject(program: string, at: LabNode = node): Promise<void> {
  at.writeFile(FAULT_FILE, program);
  process.kill(await agentPid(at), 'SIGUSR2');
  await waitUntil(() => !existsSync(at.pathFromOutside(FAULT_FILE)), LOOK_MS, 'the injection');
}

async function ended(at: LabNode = node, limitMs = LOOK_MS): Promise<number | null | undefined> {
  await waitUntil(async () => !(await at.agent.state()).running, limitMs, 'the agent’s end');
  return (await at.agent.state()).exitCode;
}

async function isProgrammed(): Promise<boolean> {
  return (await node.run(['ip', 'route'])).includes(peer.subnet);
}

/** Adds a lease and removes it again, and each time waits until the agent has followed. */
async function follows(): Promise<void> {
  writeLease(lab, 'peer', peer);
  await waitUntil(isProgrammed, LOOK_MS, 'the peer');
  dropLease(lab, 'peer');
  await waitUntil(async () => !(await isProgrammed()), LOOK_MS, 'the peer’s end');
}

describe('an unexpected error', () => {
  test.for([
    { name: 'an exception', program: 'setTimeout(() => { throw new Error("injected"); });' },
    { name: 'a rejection', program: 'Promise.reject(new Error("injected"));' },
    {
      name: 'a listener that throws',
      program: 'new (require("node:events"))().on("x", () => { throw new Error("injected"); }).emit("x");',
    },
    { name: 'no Error at all', program: 'setTimeout(() => { throw "injected"; });' },
    { name: 'endless recursion', program: 'const f = () => f() + 1; setTimeout(f);', said: 'call stack' },
    {
      name: 'an event nobody listens for',
      program: 'new (require("node:net").Socket)().emit("error", new Error("injected"));',
    },
  ])('ends the agent with one line and code 1: $name', async ({ program, said = 'injected' }) => {
    const from = Buffer.byteLength(node.agent.log());
    await inject(program);
    expect(await ended()).toBe(1);
    const added = Buffer.from(node.agent.log()).subarray(from).toString();
    expect(added.trim().split('\n')).toEqual([expect.stringContaining(said)]);
    expect(logLines(node, from)).toMatchObject([{ level: 'error', msg: 'ended by an unexpected error' }]);
  });

  test('without a handler the process does not end, because its threads still wait, until the kernel’s timer ends it (control)', async () => {
    const pid = await agentPid(node);
    await inject(
      'process.removeAllListeners("uncaughtException"); setTimeout(() => { throw new Error("injected"); });',
    );
    await sleep(3000);
    expect(await agentPid(node)).toBe(pid);
    expect(await ended(node, STILL_MS)).toBe(14);
  });
});

describe('an event loop that is blocked', () => {
  test('ends the agent after 30 s, in an endless loop and in a system call; a process that was suspended for that time goes on', async () => {
    const [two, three] = [lab.node('node-2'), lab.node('node-3')];
    const stopped = await agentPid(three);
    process.kill(stopped, 'SIGSTOP');
    await inject('for (;;);');
    await inject('Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);', two);
    expect(await ended(node, STILL_MS)).toBe(14);
    expect(logLines(node).at(-1)).toMatchObject({ msg: expect.stringContaining('stood still for 30 s') });
    expect(await ended(two, STILL_MS)).toBe(14);
    await two.agent.start();
    await two.agent.ready();
    expect(logLines(two)).toContainEqual(
      expect.objectContaining({ msg: expect.stringMatching(/did not stop by itself/) }),
    );
    // Waits longer than the agent took to end in the tests before.
    await sleep(5000);
    process.kill(stopped, 'SIGCONT');
    await sleep(5000);
    expect(await agentPid(three)).toBe(stopped);
    await three.agent.ready();
  }, 90_000);
});

describe('SIGTERM', () => {
  test('ends the agent cleanly within five seconds', async () => {
    expect(await node.agent.stop(5000)).toMatchObject({ running: false, exitCode: 0 });
  });

  test('ends it within five seconds, with a line and code 1, when a part does not stop', async () => {
    await inject('require("node:http").Server.prototype.close = function () { return this; };');
    const from = Buffer.byteLength(node.agent.log());
    expect(await node.agent.stop(5000)).toMatchObject({ running: false, exitCode: 1 });
    expect(logLines(node, from).at(-1)).toMatchObject({
      level: 'error',
      msg: expect.stringMatching(/^not stopped in time/),
    });
  });

  test('ends it within five seconds, also when the stop itself blocks', async () => {
    await inject('require("node:http").Server.prototype.close = () => { for (;;); };');
    expect(await node.agent.stop(5000)).toMatchObject({ running: false, exitCode: 14 });
  });

  const LOOP = 'for (;;);';
  const SYSTEM_CALL = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);';
  test.for([
    { name: 'an endless loop', program: LOOP, afterMs: 500 },
    { name: 'a system call', program: SYSTEM_CALL, afterMs: 500 },
    { name: 'an endless loop, when the kernel’s timer has fired once', program: LOOP, afterMs: 6500 },
    { name: 'an endless loop, twice', program: LOOP, afterMs: 500, times: 2 },
  ])(
    'ends it within five seconds, with a line, when it arrives while the event loop is blocked in $name',
    async (row) => {
      const { program, afterMs, times = 1 } = row;
      const pid = await agentPid(node);
      const from = Buffer.byteLength(node.agent.log());
      await inject(program);
      await sleep(afterMs);
      for (let n = 0; n < times; n++) process.kill(pid, 'SIGTERM');
      expect(await ended(node, 5000)).toBe(14);
      expect(logLines(node, from).at(-1)).toMatchObject({
        level: 'error',
        msg: expect.stringContaining('not stopped in time'),
      });
    },
  );

  test('with Node’s handlers alone, an agent with a blocked event loop does not end (control)', async () => {
    const pid = await agentPid(node);
    // Node sets its handler again for the first listener.
    await inject(`process.removeAllListeners('SIGTERM'); process.on('SIGTERM', () => undefined); ${LOOP}`);
    await sleep(500);
    process.kill(pid, 'SIGTERM');
    await sleep(8000);
    expect(await agentPid(node)).toBe(pid);
    process.kill(pid, 'SIGKILL');
    await ended();
  });
});

describe('20,000 idle connections to the health port', () => {
  test('leave it answering probes, with few descriptors and without a line of log', async () => {
    const pid = await agentPid(node);
    const before = openDescriptors(pid);
    const from = Buffer.byteLength(node.agent.log());
    node.writeFile('/run/lab/crowd.py', CROWD);
    const start = 'python3 /run/lab/crowd.py $1 >/run/lab/crowd-$1 2>&1 & echo $!';
    const pids = await Promise.all(CROWDS.map((name) => node.run(['sh', '-c', start, 'sh', name])));
    const said = (): string => CROWDS.map((name) => node.readFile(`/run/lab/crowd-${name}`)).join('');
    await waitUntil(() => said() === 'all\nall\n', CROWD_MS, '20,000 connections').catch(() =>
      expect(said()).toBe('all'),
    );
    const answers = async (): Promise<boolean> =>
      await node.agent.http('/healthz').then(
        ({ status }) => status === 200,
        // Among so many connections the kernel may drop a probe's first packets. The probe is repeated, as kubelet does.
        () => false,
      );
    for (let n = 0; n < 20; n++) await waitUntil(answers, LOOK_MS, 'an answer');
    await node.agent.ready();
    expect(openDescriptors(pid) - before).toBeLessThanOrEqual(128 + 10);
    expect(logLines(node, from)).toEqual([]);
    for (const crowd of pids) await node.run(['kill', crowd.trim()]);
    expect(await agentPid(node)).toBe(pid);
  }, 150_000);
});

/** Waits until no connection has come or gone for a second: those of earlier tests are closed one after the other. */
async function descriptorsSettled(pid: number): Promise<void> {
  let before = -1;
  while (openDescriptors(pid) !== before) {
    before = openDescriptors(pid);
    await sleep(1000);
  }
}

describe('missing resources', () => {
  test('without a free file descriptor the agent goes on, and is right again when there are some', async () => {
    const pid = await agentPid(node);
    const limit = (files: number): void => void execFileSync('prlimit', ['--pid', String(pid), `--nofile=${files}:`]);
    await descriptorsSettled(pid);
    limit(lowestFreeDescriptor(pid));
    const from = Buffer.byteLength(node.agent.log());
    writeLease(lab, 'peer', peer);
    await node.run(['nft', 'delete', 'table', 'ip', 'weft']);
    await node.agent.http('/readyz').catch(() => undefined);
    await waitUntil(
      () => logLines(node, from).some((line) => String(line['err']).includes('EMFILE')),
      LOOK_MS,
      'EMFILE',
    );
    await sleep(2000);
    limit(20_000);
    await waitUntil(isProgrammed, LOOK_MS, 'the peer');
    await waitUntil(async () => (await node.run(['nft', 'list', 'tables'])).includes('weft'), LOOK_MS, 'the rules');
    await node.agent.ready();
    expect(await agentPid(node)).toBe(pid);
    dropLease(lab, 'peer');
  });

  test.for([
    { name: 'ENOBUFS from netlink', calls: '[44, 206]', errno: 105 },
    { name: 'ENOMEM from netlink', calls: '[44, 45, 206, 207]', errno: 12 },
    { name: 'ENFILE for files, sockets and event counters', calls: '[257, 41, 290, 56, 198, 19]', errno: 23 },
    { name: 'ENOMEM for everything but poll and exit', calls: 'undefined', errno: 12 },
  ])(
    'with $name from time to time for five seconds, the agent goes on, or ends with code 1 and one line about it',
    async ({ calls, errno }) => {
      const from = Buffer.byteLength(node.agent.log());
      const pid = await agentPid(node);
      await inject(`const calls = ${calls};
      hook.syscallFault = (nr) => (calls?.includes(nr) ?? ![271, 73, 231, 94].includes(nr)) && Math.random() < 0.5 ? ${errno} : 0;
      setTimeout(() => { hook.syscallFault = () => 0; }, 5000);`);
      writeLease(lab, 'peer', peer);
      await node.run(['nft', 'delete', 'table', 'ip', 'weft']);
      await sleep(6000);
      expect(Buffer.from(node.agent.log()).subarray(from).toString()).toContain(errnoName(errno));
      const { running, exitCode } = await node.agent.state();
      if (running) {
        expect(await agentPid(node)).toBe(pid);
      } else {
        expect(exitCode).toBe(1);
        expect(logLines(node, from).filter(({ level }) => level === 'error')).toHaveLength(1);
        await node.agent.start();
      }
      await node.agent.ready();
      await waitUntil(isProgrammed, LOOK_MS, 'the peer');
      dropLease(lab, 'peer');
      await follows();
    },
  );
});
