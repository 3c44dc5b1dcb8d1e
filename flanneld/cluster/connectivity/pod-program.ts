// The program of a test pod, which `node -e` receives as one script. `serve` answers the other pods; `check JSON` runs a list of checks
// (checks.ts) and prints the answers as JSON. The agents' containers also execute `check`, for checks in the node's network.

import { createSocket, type RemoteInfo } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import { connect, isIPv6 } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { BIG_BYTES, type Check, type CheckAnswer, POD_PORT } from './checks.ts';

const TRIES = 3;
const TRY_MS = 2000;
const AT_A_TIME = 16;
/** The sizes of the IP and UDP headers. */
const HEADERS = { 4: 28, 6: 48 } as const;
const ANY_MTU = 1400;

function serve(name: string): void {
  const big = Buffer.alloc(BIG_BYTES, 'w');
  createServer((request, response) => response.end(request.url === '/big' ? big : name)).listen(POD_PORT, '::');
  const echo = createSocket('udp6');
  // An answer is as long as its question, so nobody can use it to send more traffic to a third host.
  echo.on('message', (data: Buffer, from: RemoteInfo) => echo.send(data, from.port, from.address));
  echo.on('error', () => undefined);
  echo.bind(POD_PORT, '::');
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
}

async function checkAll(checks: readonly Check[]): Promise<CheckAnswer[]> {
  const answers: CheckAnswer[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < checks.length; at = next++) answers[at] = await checkOne(checks[at] as Check);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  return answers;
}

async function checkOne(check: Check): Promise<CheckAnswer> {
  let failure = '';
  const startedAt = performance.now();
  for (let tried = 0; tried < TRIES; tried++) {
    // A refusal comes at once, and kube-proxy may need some seconds to learn of a new Service. So the next try waits.
    if (tried > 0) await pause(Math.max(0, startedAt + tried * TRY_MS - performance.now()));
    try {
      await attempt(check);
      return { key: check.key };
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error);
    }
  }
  return { key: check.key, failure: `${what(check)}: ${failure}, ${TRIES} times` };
}

function what(check: Check): string {
  switch (check.kind) {
    case 'http':
      return `GET http://${bracketed(check.host)}:${check.port}/`;
    case 'tcp':
      return `connect to ${bracketed(check.host)}:${check.port}`;
    case 'dns':
      return `look up ${check.host}`;
    case 'full-size':
      return `packets of full size to ${check.host}`;
  }
}

async function attempt(check: Check): Promise<void> {
  switch (check.kind) {
    case 'http':
      return await expectPage(check.host, check.port, '/', (text) => text === check.want, check.want);
    case 'tcp':
      return await expectHost(check.host, check.port);
    case 'dns':
      return await expectName(check.host, check.want);
    case 'full-size':
      await expectEcho(check.host);
      return await expectPage(check.host, POD_PORT, '/big', (text) => text.length === BIG_BYTES, `${BIG_BYTES} octets`);
  }
}

function expectPage(
  host: string,
  port: number,
  path: string,
  isWanted: (text: string) => boolean,
  wanted: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = get({ host, port, path, agent: false, timeout: TRY_MS }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('error', reject);
      response.on('end', () => {
        if (isWanted(text)) resolve();
        else reject(new Error(`expected ${wanted}, got ${text.length > 60 ? `${text.length} octets` : text}`));
      });
    });
    const timer = setTimeout(() => request.destroy(new Error(`no answer in ${TRY_MS} ms`)), TRY_MS);
    request.on('error', reject).on('close', () => clearTimeout(timer));
  });
}

/** A refused connection also proves that packets pass in both directions. */
function expectHost(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const timer = setTimeout(() => socket.destroy(new Error(`no answer in ${TRY_MS} ms`)), TRY_MS);
    socket.on('connect', () => socket.destroy());
    socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNREFUSED' ? resolve() : reject(error)));
    socket.on('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

async function expectName(name: string, want: string): Promise<void> {
  const timeout = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error(`no answer in ${TRY_MS} ms`)), TRY_MS).unref();
  });
  const { address } = await Promise.race([lookup(name, { family: isIPv6(want) ? 6 : 4 }), timeout]);
  if (address !== want) throw new Error(`expected ${want}, got ${address}`);
}

/** Sends one UDP packet as large as the pod's MTU allows, and waits for its echo. Linux sets DF, so it is not fragmented. */
function expectEcho(host: string): Promise<void> {
  const family = isIPv6(host) ? 6 : 4;
  const data = Buffer.alloc(ownMtu() - HEADERS[family], 'w');
  const socket = createSocket(`udp${family}`);
  return new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer to ${data.length} octets of UDP`)), TRY_MS);
    socket.on('message', (answer) => {
      clearTimeout(timer);
      if (answer.equals(data)) resolve();
      else reject(new Error(`expected ${data.length} octets, got ${answer.length}`));
    });
    socket.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    socket.send(data, POD_PORT, host);
  }).finally(() => socket.close());
}

/** The MTU of the first interface that has an address and is not the loopback. */
function ownMtu(): number {
  for (const name of Object.keys(networkInterfaces())) {
    if (name === 'lo') continue;
    const mtu = Number(readFileSync(`/sys/class/net/${name}/mtu`, 'utf8'));
    if (mtu > 0) return mtu;
  }
  return ANY_MTU;
}

function bracketed(host: string): string {
  return isIPv6(host) ? `[${host}]` : host;
}

const [command = '', argument = ''] = process.argv.slice(1);
if (command === 'serve') serve(argument || hostname());
else {
  void checkAll(JSON.parse(argument) as Check[]).then((answers) =>
    process.stdout.write(`${JSON.stringify(answers)}\n`, () => process.exit(0)),
  );
}
