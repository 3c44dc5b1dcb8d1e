import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { formatIp, parseIp, parsePrefix } from '../../lib/ip.ts';
import { withStore } from '../../lib/pods/address-store.ts';
import { listCachedResults } from '../../lib/pods/cached-result.ts';
import type { NodeView } from '../../lib/pods/node-view.ts';
import { judgeAll, type survey } from '../../lib/pods/survey.ts';
import { closeFd } from '../../lib/sys/file.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { content, files, links, put, tempDir } from '../../test/support/host-local-calls.ts';
import { emptyObject, rootFields } from '../protocol/fields.ts';
import type { Invocation } from '../protocol/plugin.ts';
import { deadNobodys, reclaimDead } from './reclaim.ts';

const sys = openKoffiSyscalls();
const subnet = parsePrefix('10.1.2.0/24');
const set = [{ subnet, start: parseIp('10.1.2.1'), end: parseIp('10.1.2.254'), gateway: parseIp('10.1.2.1') }];

const emptyNode: NodeView = { ports: [], pins: [] };
const port = { name: 'veth0badcafe', mac: undefined, netnsId: 1, isOnBridge: true, mayBePods: true };

/** Like survey, on a given node. */
function surveyOf(view: NodeView): typeof survey {
  return (_, scope, holders) => {
    const traces = { macs: new Set<string>(), neighs: [] };
    return judgeAll(scope, { view, traces, cached: listCachedResults(sys, scope.results) }, holders);
  };
}

function invocationOf(type: string, note: (line: string) => void): Invocation {
  return {
    command: 'ADD',
    containerId: 'new',
    netns: '/run/netns/new',
    ifname: 'eth0',
    args: '',
    path: '',
    netnsOverride: false,
    surroundings: { sys, stdin: () => new Uint8Array(), env: () => undefined, environment: () => [] },
    sys,
    version: '1.0.0',
    name: 'n1',
    config: emptyObject,
    root: rootFields(new Map([['type', type]])),
    netnsHandle: undefined,
    note,
    holdLock: (fd) => closeFd(sys, fd),
  };
}

interface Attempt {
  readonly again: boolean;
  readonly notes: string[];
}

/** Reclaims in `dir` with `dir`/results as the runtime's cache; returns what was freed. */
function reclaim(dir: string, { view = emptyNode, type = 'bridge' } = {}): Attempt {
  const notes: string[] = [];
  const invocation = invocationOf(type, (line) => notes.push(line));
  const attempt = reclaimDead(invocation, join(dir, 'results'), surveyOf(view));
  return { again: withStore(sys, join(dir, 'n1'), (store) => attempt(store, set)), notes };
}

function cacheResult(dir: string, name: string, text: string): void {
  mkdirSync(join(dir, 'results'), { recursive: true });
  writeFileSync(join(dir, 'results', name), text);
}

describe('reclaimDead', () => {
  const view = { ports: [], pins: [{ paths: ['/run/netns/somebody'], netnsId: undefined }] };

  test.for([
    { name: 'a netns that is missing', cached: '{"netns":"/run/netns/no-such"}', want: [] },
    { name: 'a netns on which nothing is mounted', cached: '{"netns":"/etc/hostname"}', want: ['10.1.2.7'] },
    { name: 'a netns of a process', cached: '{"netns":"/proc/self/ns/net"}', want: ['10.1.2.7'] },
    {
      name: 'only a sandbox that is missing',
      cached: '{"result":{"interfaces":[{"sandbox":"/run/netns/no-such"}]}}',
      want: [],
    },
    { name: 'no netns', cached: '{}', want: ['10.1.2.7'] },
    { name: 'an empty netns', cached: '{"netns":""}', want: ['10.1.2.7'] },
    { name: 'half a document', cached: '{"netns":', want: ['10.1.2.7'] },
  ])('judges a holder whose cached result has $name, beside a netns that no known pod has', ({ cached, want }) => {
    const dir = tempDir();
    put(dir, { '10.1.2.7': 'c1\r\neth0' });
    cacheResult(dir, 'n1-c1-eth0', cached);
    expect(reclaim(dir, { view }).again).toBe(want.length === 0);
    expect(files(dir)).toEqual(want);
  });

  test('keeps the address of a holder that may have a port or a netns that no known pod has, and prints nothing', () => {
    const dir = tempDir();
    put(dir, { '10.1.2.7': 'c1\r\neth0' });
    expect(reclaim(dir, { view })).toEqual({ again: false, notes: [] });
    expect(reclaim(dir, { view: { ports: [port], pins: [] } })).toEqual({ again: false, notes: [] });
    expect(files(dir)).toEqual(['10.1.2.7']);
  });

  test('frees the address and the index entry of a holder of which nothing can be left on the node, however old the file is', () => {
    const dir = tempDir();
    const owner = { containerId: 'c1', ifname: 'eth0' };
    withStore(sys, join(dir, 'n1'), (store) => store.reserve(parseIp('10.1.2.7'), owner));
    expect(reclaim(dir).again).toBe(true);
    expect([files(dir), links(dir)]).toEqual([[], []]);
  });

  test('does not count the netns of the running ADD as that of an unknown pod', () => {
    const dir = tempDir();
    put(dir, { '10.1.2.7': 'c1\r\neth0' });
    const own = { ports: [], pins: [{ paths: ['/run/netns/new'], netnsId: undefined }] };
    expect(reclaim(dir, { view: own }).again).toBe(true);
  });

  test('keeps the address that a running ADD has reserved', () => {
    const dir = tempDir();
    const owner = { containerId: 'c1', ifname: 'eth0' };
    const locks: number[] = [];
    withStore(
      sys,
      join(dir, 'n1'),
      (store) => store.reserve(parseIp('10.1.2.7'), owner),
      (fd) => locks.push(fd),
    );
    expect(reclaim(dir).again).toBe(false);
    for (const fd of locks) closeFd(sys, fd);
    expect(reclaim(dir).again).toBe(true);
  });

  test('where pods have no bridge ports, frees only addresses whose holder’s netns is gone', () => {
    const dir = tempDir();
    put(dir, { '10.1.2.7': 'c1\r\neth0', '10.1.2.8': 'c2\r\neth0', '10.1.2.9': '' });
    cacheResult(dir, 'n1-c2-eth0', '{"netns":"/run/netns/no-such"}');
    expect(reclaim(dir, { type: 'macvlan' }).again).toBe(true);
    expect(files(dir)).toEqual(['10.1.2.7', '10.1.2.9']);
  });

  test('frees an address whose file names no holder, because its ADD was killed before it wrote the name', () => {
    const dir = tempDir();
    put(dir, { '10.1.2.7': '', '10.1.2.8': 'c1\r\neth0' });
    expect(reclaim(dir, { view }).again).toBe(true);
    expect(files(dir)).toEqual(['10.1.2.8']);
  });

  test('keeps an address whose file names no holder while there is a port that no known pod has', () => {
    const dir = tempDir();
    put(dir, { '10.1.2.7': '' });
    expect(reclaim(dir, { view: { ports: [port], pins: [] } }).again).toBe(false);
  });

  test('does not read the addresses of another range set', () => {
    const dir = tempDir();
    put(dir, { '10.9.9.9': 'c1\r\neth0' });
    cacheResult(dir, 'n1-c1-eth0', '{"netns":"/run/netns/no-such"}');
    expect(reclaim(dir).again).toBe(false);
  });

  test('prints the addresses that it freed', () => {
    const dir = tempDir();
    put(dir, { '10.1.2.7': 'c1\r\neth0' });
    cacheResult(dir, 'n1-c1-eth0', '{"netns":"/run/netns/no-such"}');
    expect(reclaim(dir).notes).toEqual(['freed 10.1.2.7 of c1 eth0: its netns /run/netns/no-such is gone']);
  });

  test('ignores the boot id that an earlier version wrote', () => {
    const dir = tempDir();
    put(dir, { '.boot': 'another-boot replaced\n', '10.1.2.7': 'c1\r\neth0' });
    expect(reclaim(dir, { view: { ports: [port], pins: [] } }).again).toBe(false);
    expect(content(dir, '.boot')).toBe('another-boot replaced\n');
  });
});

describe('deadNobodys', () => {
  test('are the addresses that no pod with a port can have', () => {
    const dir = tempDir();
    put(dir, { '10.1.2.7': '', '10.1.2.8': 'c1\r\neth0' });
    const dead = (view: NodeView): string[] =>
      withStore(sys, join(dir, 'n1'), (store) => {
        const invocation = invocationOf('bridge', () => undefined);
        return deadNobodys(invocation, join(dir, 'results'), store, [parseIp('10.1.2.7')], surveyOf(view));
      }).map(formatIp);
    expect(dead(emptyNode)).toEqual(['10.1.2.7']);
    expect(dead({ ports: [port], pins: [] })).toEqual([]);
  });
});
