// Inside the sandbox: makes the calls one by one, judges each answer and what is there afterwards.
//   node main.mjs DIR NETNS SEED FIRST COUNT

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type HostileCall, hostileCall } from './documents.ts';
import { difference, quickFootprint, wholeFootprint } from './footprint.ts';
import { type Answer, judgeAnswer } from './judge.ts';

/** How many calls are made between two checks of what only other programs can list. */
const WHOLE_EVERY = 50;
const CALL_LIMIT_MS = 20_000;

const [, , dir = '', netns = '', seed = '1', first = '0', count = '0'] = process.argv;
const place = { dir: join(dir, 'node'), bin: join(dir, 'bin'), netns };
const folders = [place.dir, '/run', '/var/lib'];

const counts: Record<string, number> = {};
const findings: string[] = [];

prepare();
let whole = wholeFootprint(folders, netns);
for (let number = Number(first); number < Number(first) + Number(count); number++) {
  tryCall(number);
  if ((number + 1) % WHOLE_EVERY === 0) lookAround(`one of the ${WHOLE_EVERY} calls up to`, number);
}
lookAround('one of the calls up to', Number(first) + Number(count) - 1);
process.stdout.write(JSON.stringify({ counts, findings }));

function prepare(): void {
  mkdirSync(join(dir, 'node'), { recursive: true });
  execFileSync('mkfifo', [join(dir, 'node/fifo')]);
  const env = [
    'FLANNEL_NETWORK=10.244.0.0/16',
    'FLANNEL_SUBNET=10.244.1.1/24',
    'FLANNEL_MTU=1450',
    'FLANNEL_IPMASQ=false',
  ];
  writeFileSync(join(dir, 'node/subnet.env'), `${env.join('\n')}\n`);
}

function tryCall(number: number): void {
  const call = hostileCall(Number(seed), number, place);
  const before = quickFootprint(folders);
  const answer = execute(call);
  const wrong = judgeAnswer(call, answer);
  if (wrong !== undefined) tell(number, call, wrong);
  const command = call.env['CNI_COMMAND'] ?? '';
  const isAdded = command === 'ADD' && answer.exitCode === 0;
  count1(isAdded ? 'added' : answer.exitCode === 0 ? 'other successes' : `code ${codeOf(answer)}`);
  if (isAdded) {
    const undone = execute({ ...call, env: { ...call.env, CNI_COMMAND: 'DEL' } });
    if (undone.exitCode !== 0) tell(number, call, `DEL after this ADD: ${undone.stdout}`);
  }
  removeBridges(before);
  const changed = difference(before, quickFootprint(folders));
  if (changed.length > 0) tell(number, call, `${isAdded ? 'left after DEL' : 'left'}: ${changed.join(', ')}`);
}

function execute({ plugin, env, stdin, encoding }: HostileCall): Answer {
  const options = {
    env: { ...env },
    input: Buffer.from(stdin, encoding),
    timeout: CALL_LIMIT_MS,
    killSignal: 'SIGKILL',
  } as const;
  const { status, signal, stdout, stderr, error } = spawnSync(join(dir, 'bin', plugin), [], {
    ...options,
    encoding: 'utf8',
  });
  return { exitCode: status, signal: signal ?? error?.message ?? null, stdout, stderr };
}

/** Only a bridge may stay after a failure and after DEL: the Go plugin leaves it too, and it belongs to no attachment. */
function removeBridges(before: readonly string[]): void {
  const made = difference(before, quickFootprint(folders)).flatMap((line) => /^\+ device (.*)$/.exec(line)?.[1] ?? []);
  for (const name of made) {
    const { stdout } = spawnSync('ip', ['-d', '-o', 'link', 'show', 'dev', name], { encoding: 'utf8' });
    if (!/\bbridge forward_delay\b/.test(stdout)) continue;
    count1('bridges');
    spawnSync('ip', ['link', 'delete', 'dev', name]);
  }
}

function lookAround(which: string, number: number): void {
  const now = wholeFootprint(folders, netns);
  const changed = difference(whole, now);
  if (changed.length > 0) findings.push(`${which} ${number} left: ${changed.join(', ')}`);
  whole = now;
}

function tell(number: number, call: HostileCall, wrong: string): void {
  const env = Object.entries(call.env).filter(([name]) => name.startsWith('CNI_'));
  const said = env.map(([name, value]) => `${name}=${value.slice(0, 60)}`).join(' ');
  findings.push(`call ${number}: ${wrong.slice(0, 600)}\n    ${said} ${call.plugin} <<< ${call.stdin.slice(0, 900)}`);
}

function codeOf({ stdout, exitCode, signal }: Answer): string {
  return /"code": (\d+)/.exec(stdout)?.[1] ?? `none, ended with ${exitCode ?? signal}`;
}

function count1(what: string): void {
  counts[what] = (counts[what] ?? 0) + 1;
}
