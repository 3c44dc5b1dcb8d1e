// The doctor ends within its ten seconds, whatever hangs on the node, and says what it has not examined. `timeout` allows twice that time
// for a busy machine; whatever hangs here does so for ten minutes.

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Finding } from '../../flanneld/health/finding.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { builtAgent } from '../lab/programs.ts';
import { dropLease, writeLease } from '../lab/support/leases.ts';
import { expectHealthy } from '../support/doctor.ts';

const GHOSTS = 500;
const TEST_MS = 200_000;
/** The exit code of timeout(1) when it had to end the command. */
const TIMED_OUT = 124;

let lab: Lab;
let node: LabNode;
beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
  for (const each of lab.nodes) await each.addPod();
  node = lab.node('node-1');
});
afterAll(() => lab?.down());

async function inTime(path = ''): Promise<{ exitCode: number | null; findings: readonly Finding[] }> {
  const env = { NODE_NAME: node.name, PATH: `${path}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin` };
  const { exitCode, stdout } = await node.exec(['timeout', '20', builtAgent, 'doctor', '--json'], { env });
  expect(exitCode).not.toBe(TIMED_OUT);
  return { exitCode, ...(JSON.parse(stdout) as { findings: Finding[] }) };
}

const unseen = (findings: readonly Finding[]): string =>
  findings
    .filter(({ id }) => id === 'not-looked-at')
    .map(({ evidence }) => evidence)
    .join('; ');

describe('the doctor ends in time', { timeout: TEST_MS }, () => {
  test('and says that it saw everything where nothing hangs', async () => {
    expect(unseen((await inTime()).findings)).toBe('');
  });

  test('where nft hangs: names what it could not see, and finds everything else', async () => {
    await node.run([
      'sh',
      '-c',
      'mkdir -p /run/slow && printf "#!/bin/sh\\nexec sleep 600\\n" > /run/slow/nft && chmod +x /run/slow/nft',
    ]);
    await node.run(['sysctl', '-qw', 'net.ipv4.ip_forward=0']);
    onTestFinished(async () => void (await node.run(['sysctl', '-qw', 'net.ipv4.ip_forward=1'])));
    const { exitCode, findings } = await inTime('/run/slow:');
    expect(unseen(findings)).toContain('the chains of nftables: ');
    expect(findings.map(({ id }) => id)).toContain('ip-forward-off');
    expect(exitCode).toBe(1);
    expect((await node.exec(['pgrep', '-f', 'sleep 600'])).stdout).toBe('');
  });

  test(`with a stopped agent and ${GHOSTS} peers that are gone: those not probed are counted`, async () => {
    const names = Array.from({ length: GHOSTS }, (_, n) => `ghost-${n}`);
    onTestFinished(() => {
      for (const name of names) dropLease(lab, name);
    });
    for (const [n, name] of names.entries()) {
      const [high, low] = [100 + Math.floor(n / 250), n % 250];
      writeLease(lab, name, {
        subnet: `10.244.${n % 250}.${n < 250 ? 0 : 128}/25`,
        publicIp: `192.168.${high}.${low + 1}`,
        mac: `02:00:00:01:${(n >> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`,
      });
    }
    const { pid } = await node.agent.state();
    await node.run(['kill', '-STOP', String(pid)]);
    onTestFinished(async () => void (await node.run(['kill', '-CONT', String(pid)])));
    const { findings } = await inTime();
    expect(findings.map(({ id }) => id)).toContain('agent-unresponsive');
    expect(unseen(findings)).toMatch(/\d+ of \d+ peers were not probed/);
  });
});

test('and leaves nothing behind', async () => {
  await expectHealthy(node);
  expect(await node.run(['nft', 'list', 'tables'])).not.toContain('weft_doctor');
  expect(await node.run(['ip', 'link'])).not.toContain('weft-doctor');
});
