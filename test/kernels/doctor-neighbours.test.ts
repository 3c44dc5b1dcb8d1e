// `flanneld doctor` in the machine's own network namespace: the limit of neighbours is shared by all namespaces and can be read only there.
// So this runs in a virtual machine, never on a machine in use.

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { Finding } from '../../flanneld/health/finding.ts';
import { builtAgent } from '../lab/programs.ts';
import { needs } from '../support/needs.ts';

const LIMIT = '/proc/sys/net/ipv4/neigh/default/gc_thresh3';
const SMALL = 128;
const MINUTE = 60_000;

function doctor(): readonly Finding[] {
  const { stdout, stderr } = spawnSync(process.execPath, [builtAgent, 'doctor', '--json'], { encoding: 'utf8' });
  if (!stdout.startsWith('{')) throw new Error(`doctor: ${stderr}`);
  return (JSON.parse(stdout) as { findings: Finding[] }).findings;
}

function neighbourFindings(): readonly Finding[] {
  return doctor().filter(({ id }) => id === 'neighbour-table-full');
}

function ip(batch: readonly string[]): void {
  const { status, stderr } = spawnSync('ip', ['-batch', '-'], { input: `${batch.join('\n')}\n`, encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
}

describe('the kernel’s table of neighbours', () => {
  beforeEach(() =>
    needs.machine(process.env['WEFT_VIRTUAL_MACHINE'] === '1', 'a virtual machine of the suite kernels'),
  );
  beforeAll(() => {
    if (process.env['WEFT_VIRTUAL_MACHINE'] !== '1') return;
    ip([
      'link add near type veth peer name far',
      'link set near up',
      'link set far up',
      'addr add 10.99.0.1/16 dev near',
    ]);
    return () => ip(['link del near']);
  });

  test('is found full, and no longer once the named command has run', { timeout: MINUTE }, () => {
    const before = readFileSync(LIMIT, 'utf8');
    onTestFinished(() => writeFileSync(LIMIT, before));
    expect(neighbourFindings()).toEqual([]);
    const addresses = Array.from({ length: SMALL - 1 }, (_, index) => `10.99.1.${index + 1}`);
    ip(addresses.map((address) => `neigh add ${address} lladdr 02:00:00:00:00:01 dev near nud reachable`));
    expect(neighbourFindings()).toEqual([]);
    writeFileSync(LIMIT, `${SMALL}\n`);
    const [finding] = neighbourFindings();
    expect(finding).toMatchObject({ severity: 'error', evidence: expect.stringMatching(/^12\d of 128 neighbours$/) });
    const command = /`([^`]+)`/.exec(finding?.fix ?? '')?.[1];
    expect(command).toContain('gc_thresh3=512');
    expect(spawnSync('sh', ['-c', command ?? 'false']).status).toBe(0);
    expect(neighbourFindings()).toEqual([]);
  });
});
