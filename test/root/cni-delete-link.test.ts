import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { compileProgram, type Executable } from '../support/executable.ts';
import { type HeldNetns, holdNetns } from '../support/held-netns.ts';
import { slowed } from '../support/slowness.ts';

let program: Executable;
let netns: HeldNetns;
beforeAll(async () => {
  program = await compileProgram(resolve(import.meta.dirname, 'fixtures/delete-link.ts'));
}, slowed(120_000));
afterAll(() => program?.remove());
beforeEach(async () => {
  netns = await holdNetns();
  onTestFinished(() => netns.remove());
});

function names(): unknown[] {
  return netns.json('ip', '-j', 'link').map((link) => link['ifname']);
}

function run(fault: string, name: string): { readonly children: number; readonly sends: number } {
  return JSON.parse(netns.run(program.path, fault, name)) as { children: number; sends: number };
}

describe('deleteLinkByName', () => {
  beforeEach(() => {
    netns.run('ip', 'link', 'add', 'cni0', 'type', 'bridge');
    netns.run('ip', 'link', 'add', 'veth0', 'master', 'cni0', 'type', 'veth', 'peer', 'name', 'eth0');
    netns.run('ip', 'link', 'set', 'veth0', 'up');
  });

  // The parent sends one request to find the device and one to check that it is gone. If it has to delete the device itself, that is a
  // third one.
  test.for([
    { fault: 'none', want: { children: 1, sends: 2 } },
    { fault: 'overflow', want: { children: 1, sends: 2 } },
    { fault: 'no process', want: { children: 1, sends: 2 } },
    { fault: 'child dies', want: { children: 1, sends: 3 } },
    { fault: 'refused', want: { children: 1, sends: 3 } },
  ])('with the fault "$fault" returns when both ends are gone', ({ fault, want }) => {
    const counts = run(fault, 'veth0');
    expect(names()).toEqual(['lo', 'cni0']);
    expect(counts.children).toBe(want.children);
    // Events of the bridge may make it send more than one request.
    expect(counts.sends).toBeGreaterThanOrEqual(want.sends);
  });

  test('succeeds when there is no such device', () => {
    expect(run('none', 'nobody')).toEqual({ children: 0, sends: 1 });
  });

  test('starts nothing that keeps the caller’s output open', () => {
    const outcome = spawnSync('nsenter', ['-t', String(netns.pid), '-n', program.path, 'none', 'veth0'], {
      encoding: 'utf8',
      timeout: slowed(10_000),
    });
    expect([outcome.status, outcome.stderr]).toEqual([0, '']);
    expect(names()).toEqual(['lo', 'cni0']);
  });
});
