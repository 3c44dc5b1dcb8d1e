// Programs as filters of clsact, for kernels without tcx: attached, replaced, found again by the next agent, and distinguished from those
// of others. The hook stays until it is cleaned up.

import { spawn } from 'node:child_process';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import {
  ClsactFilters,
  devicesWithFilters,
  foreignFilters,
  idleFilters,
  removeFilter,
} from '../../flanneld/fastpath/clsact-filters.ts';
import { loadConntrack } from '../../flanneld/fastpath/load.ts';
import { createMaps, loadPrograms } from '../../flanneld/fastpath/programs/node-programs.ts';
import { programInfo } from '../../lib/bpf/program.ts';
import { type Netlink, openNetlink } from '../../lib/netlink/connection.ts';
import { createVeth } from '../../lib/rtnetlink/veth.ts';
import { closeFd } from '../../lib/sys/file.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { inNetns, openNetns } from '../../lib/sys/netns.ts';
import { waitUntil } from '../lab/processes.ts';
import { type HeldNetns, holdNetns } from '../support/held-netns.ts';

const sys = openKoffiSyscalls();
const LOOK_MS = 10_000;
const MATCH_ALL = ['u32', 'match', 'u32', '0', '0', 'flowid', '1:1'];

let netns: HeldNetns;
let netlink: Netlink;
let ifindex: number;
/** Loaded programs and their ids in the kernel. */
let programs: readonly { readonly fd: number; readonly id: number }[];

beforeAll(async () => {
  loadConntrack(sys);
  netns = await holdNetns();
  const fd = openNetns(sys, netns.path);
  [netlink, ifindex] = inNetns(sys, fd, () => {
    const opened = openNetlink(sys);
    return [opened, createVeth(opened, { name: 'a', up: true, peer: { name: 'b' } }).link.index] as const;
  });
  closeFd(sys, fd);
  const maps = createMaps(sys);
  programs = Object.values(loadPrograms(sys, maps)).map((program) => ({
    fd: program,
    id: programInfo(sys, program).id,
  }));
  for (const map of maps.values()) closeFd(sys, map.fd);
});
afterAll(() => {
  for (const { fd } of programs) closeFd(sys, fd);
  netlink.close();
  netns.remove();
});

const tc = (...words: string[]): string => netns.run('tc', ...words);

test('a program is attached in direct action, replaced in its place, and found by the next agent', () => {
  const [one, two] = programs;
  const filters = new ClsactFilters(netlink);
  expect(filters.list()).toEqual(new Map());
  filters.attach(ifindex, one?.fd ?? -1);
  expect(tc('filter', 'show', 'dev', 'a', 'ingress')).toMatch(
    new RegExp(`weft_fast_path direct-action .*id ${one?.id} `),
  );
  expect(filters.list()).toEqual(new Map([[ifindex, one?.id]]));
  filters.attach(ifindex, two?.fd ?? -1);
  const next = new ClsactFilters(netlink);
  expect(next.list()).toEqual(new Map([[ifindex, two?.id]]));
  expect(tc('filter', 'show', 'dev', 'a', 'ingress').match(/direct-action/g)).toHaveLength(1);
  removeFilter(netlink, ifindex);
  expect(tc('qdisc', 'show', 'dev', 'a')).not.toContain('clsact');
  expect(() => removeFilter(netlink, ifindex)).not.toThrow();
});

test('an idle filter takes the place of a program that is detached, so that the hook stays, and the next program takes its place', () => {
  const filters = new ClsactFilters(netlink);
  filters.attach(ifindex, programs[0]?.fd ?? -1);
  filters.detach(ifindex);
  expect(filters.list()).toEqual(new Map());
  expect(filters.foreign(ifindex)).toBe(0);
  expect(tc('filter', 'show', 'dev', 'a', 'ingress')).toContain("bytecode '1,6 0 0 4294967295'");
  expect(devicesWithFilters(netlink)).toEqual([ifindex]);
  filters.detach(ifindex);
  filters.attach(ifindex, programs[1]?.fd ?? -1);
  expect(filters.list()).toEqual(new Map([[ifindex, programs[1]?.id]]));
  expect(tc('filter', 'show', 'dev', 'a', 'ingress').match(/direct-action/g)).toHaveLength(1);
  filters.detach(ifindex);
  removeFilter(netlink, ifindex);
  expect(devicesWithFilters(netlink)).toEqual([]);
  expect(tc('qdisc', 'show', 'dev', 'a')).not.toContain('clsact');
});

test('what is read makes no event, which an agent would answer by reading again', async () => {
  const filters = new ClsactFilters(netlink);
  const [one, two] = programs;
  filters.attach(ifindex, one?.fd ?? -1);
  onTestFinished(() => removeFilter(netlink, ifindex));
  const seen = startMonitor();
  await waitUntil(
    () => {
      filters.attach(ifindex, one?.fd ?? -1);
      return seen().includes('replaced filter');
    },
    LOOK_MS,
    'the monitor',
  );
  filters.list();
  filters.foreign(ifindex);
  devicesWithFilters(netlink);
  filters.attach(ifindex, two?.fd ?? -1);
  await waitUntil(() => seen().includes(`id ${two?.id} `), LOOK_MS, 'the last change');
  expect(seen()).not.toContain('qdisc');
});

/** Starts `tc monitor`; the function returns what it has printed. It ends with the test. */
function startMonitor(): () => string {
  const monitor = spawn('nsenter', ['-t', String(netns.pid), '-n', 'stdbuf', '-oL', 'tc', 'monitor']);
  onTestFinished(() => void monitor.kill('SIGKILL'));
  let printed = '';
  monitor.stdout.on('data', (data) => {
    printed += data;
  });
  return () => printed;
}

test('filters of others count, in both directions, and stay with their hook', () => {
  const filters = new ClsactFilters(netlink);
  filters.attach(ifindex, programs[0]?.fd ?? -1);
  expect(filters.foreign(ifindex)).toBe(0);
  tc('filter', 'add', 'dev', 'a', 'egress', ...MATCH_ALL);
  const leaving = foreignFilters(netlink, ifindex);
  expect(leaving).toBeGreaterThan(0);
  tc('filter', 'add', 'dev', 'a', 'ingress', ...MATCH_ALL);
  expect(foreignFilters(netlink, ifindex)).toBeGreaterThan(leaving);
  expect(idleFilters(netlink)).toEqual([ifindex]);
  expect(idleFilters(netlink)).toEqual([]);
  removeFilter(netlink, ifindex);
  expect(tc('filter', 'show', 'dev', 'a', 'ingress')).toContain('u32');
  expect(tc('filter', 'show', 'dev', 'a', 'ingress')).not.toContain('bpf');
  tc('qdisc', 'del', 'dev', 'a', 'clsact');
});

test('a filter that somebody removes is seen, and a device that is gone has none', () => {
  const filters = new ClsactFilters(netlink);
  filters.attach(ifindex, programs[0]?.fd ?? -1);
  tc('qdisc', 'del', 'dev', 'a', 'clsact');
  expect(filters.list()).toEqual(new Map());
  filters.attach(ifindex, programs[0]?.fd ?? -1);
  netns.run('ip', 'link', 'del', 'dev', 'a');
  expect(filters.list()).toEqual(new Map());
  expect(filters.foreign(ifindex)).toBe(0);
  expect(() => filters.detach(ifindex)).not.toThrow();
});
