// Whether the rules of iptables-legacy have changed, read from the kernel: every change of others' rules is noticed, and neither counted
// packets nor kube-proxy's chains count as a change.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { legacyChains, legacyRules } from '../../lib/netfilter/legacy-table.ts';
import { closeFd } from '../../lib/sys/file.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { inNetns, openNetns } from '../../lib/sys/netns.ts';
import { type HeldNetns, holdNetns } from '../support/held-netns.ts';
import { needs } from '../support/needs.ts';

const sys = openKoffiSyscalls();
const PROGRAMS = { 4: 'iptables-legacy', 6: 'ip6tables-legacy' } as const;

let netns: HeldNetns;
let fd: number;
let unable: string | undefined;

beforeAll(async () => {
  netns = await holdNetns();
  fd = openNetns(sys, netns.path);
  netns.run('ip', 'link', 'set', 'lo', 'up');
  try {
    for (const family of [4, 6] as const) build(family);
  } catch (error) {
    unable = String(error);
  }
});
afterAll(() => {
  netns?.remove();
  if (fd !== undefined) closeFd(sys, fd);
});

function iptables(family: 4 | 6, line: string): void {
  netns.run(PROGRAMS[family], '-w', ...line.split(' '));
}

/** A chain of kube-proxy lies before and behind two others, so that its length moves their offsets. */
function build(family: 4 | 6): void {
  for (const chain of ['ALPHA', 'KUBE-A', 'OMEGA', 'KUBE-Z']) iptables(family, `-N ${chain}`);
  for (const line of ['-A FORWARD -j KUBE-A', '-A FORWARD -p udp -j ALPHA', '-A INPUT -i lo', '-A ALPHA -j RETURN'])
    iptables(family, line);
}

function text(family: 4 | 6): string {
  const isIgnored = (chain: string): boolean => chain.startsWith('KUBE-');
  return Buffer.from(inNetns(sys, fd, () => legacyRules(sys, family, 'filter', isIgnored))).toString('latin1');
}

describe.for([4, 6] as const)('IPv%i', (family) => {
  test.for([
    { name: 'a rule more', does: '-A FORWARD -j DROP', undo: '-D FORWARD -j DROP' },
    { name: 'a policy', does: '-P FORWARD DROP', undo: '-P FORWARD ACCEPT' },
    { name: 'another target of the same size', does: '-R ALPHA 1 -j DROP', undo: '-R ALPHA 1 -j RETURN' },
    { name: 'a jump to another chain', does: '-R FORWARD 2 -p udp -j OMEGA', undo: '-R FORWARD 2 -p udp -j ALPHA' },
    { name: 'another match', does: '-R FORWARD 2 -p tcp -j ALPHA', undo: '-R FORWARD 2 -p udp -j ALPHA' },
    { name: 'a rule in another chain', does: '-A OMEGA -j DROP', undo: '-F OMEGA' },
  ])('$name is a change, and undone it is none', ({ does, undo }) => {
    needs.machine(unable === undefined || !/Table does not exist|ENOENT/.test(unable), 'a kernel with iptables-legacy');
    expect(unable).toBeUndefined();
    const before = text(family);
    expect(before).not.toBe('');
    iptables(family, does);
    expect(text(family)).not.toBe(before);
    iptables(family, undo);
    expect(text(family)).toBe(before);
  });

  test.for(['KUBE-A', 'KUBE-Z'])('rules in %s are no change', (chain) => {
    needs.machine(unable === undefined || !/Table does not exist|ENOENT/.test(unable), 'a kernel with iptables-legacy');
    const before = text(family);
    for (const port of [1, 2, 3]) iptables(family, `-A ${chain} -p udp --dport ${port} -j DROP`);
    expect(text(family)).toBe(before);
    iptables(family, `-F ${chain}`);
  });

  test('the built-in chains show their policy, where rules lead, and whether they act', () => {
    needs.machine(unable === undefined || !/Table does not exist|ENOENT/.test(unable), 'a kernel with iptables-legacy');
    const lines = ['-P FORWARD DROP', '-A FORWARD -p udp -j REJECT', '-A FORWARD -j ACCEPT', '-A FORWARD -g OMEGA'];
    for (const line of lines) iptables(family, line);
    const acting = { jump: undefined, acts: true };
    const leading = (to: string) => ({ jump: to, acts: false });
    expect(inNetns(sys, fd, () => legacyChains(sys, family, 'filter'))).toEqual([
      { name: 'INPUT', hook: 1, drops: false, rules: [{ jump: undefined, acts: false }] },
      {
        ...{ name: 'FORWARD', hook: 2, drops: true },
        rules: [leading('KUBE-A'), leading('ALPHA'), acting, acting, leading('OMEGA')],
      },
      { name: 'OUTPUT', hook: 3, drops: false, rules: [] },
    ]);
    for (const line of lines) iptables(family, line.replace('-A', '-D').replace('DROP', 'ACCEPT'));
  });

  test('counted packets are no change', () => {
    needs.machine(unable === undefined || !/Table does not exist|ENOENT/.test(unable), 'a kernel with iptables-legacy');
    const counters = (): string => netns.run(`${PROGRAMS[family]}-save`, '-c', '-t', 'filter');
    const [before, counted] = [text(family), counters()];
    netns.run('ping', '-c', '1', family === 4 ? '127.0.0.1' : '::1');
    expect(counters().replaceAll(/^#.*$/gm, '')).not.toBe(counted.replaceAll(/^#.*$/gm, ''));
    expect(text(family)).toBe(before);
  });
});
