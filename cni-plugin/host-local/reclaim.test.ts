import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { formatIp, parseIp, parsePrefix } from '../../lib/ip.ts';
import { withStore } from '../../lib/pods/address-store.ts';
import { stampBoot } from '../../lib/pods/boot.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { content, files, links, put, tempDir } from '../../test/support/host-local-calls.ts';
import { emptyObject, rootFields } from '../protocol/fields.ts';
import type { Invocation } from '../protocol/plugin.ts';
import { reclaimDead } from './reclaim.ts';

const sys = openKoffiSyscalls();
const subnet = parsePrefix('10.1.2.0/24');
const set = [{ subnet, start: parseIp('10.1.2.1'), end: parseIp('10.1.2.254'), gateway: parseIp('10.1.2.1') }];

/** Reclaims in `dir` with `dir`/results as the runtime's cache and no bridge; returns what was freed. */
function reclaim(dir: string): { readonly again: boolean; readonly notes: string[] } {
  const notes: string[] = [];
  const invocation: Invocation = {
    command: 'ADD',
    containerId: 'new',
    netns: '',
    ifname: 'eth0',
    args: '',
    path: '',
    netnsOverride: false,
    surroundings: { sys, stdin: () => new Uint8Array(), env: () => undefined, environment: () => [] },
    sys,
    version: '1.0.0',
    name: 'n1',
    config: emptyObject,
    root: rootFields(emptyObject),
    netnsHandle: undefined,
    note: (line) => notes.push(line),
  };
  const attempt = reclaimDead(invocation, 'weft-no-bridge', join(dir, 'results'));
  return { again: withStore(sys, join(dir, 'n1'), (store) => attempt(store, set)), notes };
}

function cacheResult(dir: string, name: string, text: string): void {
  mkdirSync(join(dir, 'results'), { recursive: true });
  writeFileSync(join(dir, 'results', name), text);
}

function age(dir: string, name: string): void {
  utimesSync(join(dir, 'n1', name), 1_000_000, 1_000_000);
}

describe('reclaimDead', () => {
  test.for([
    { name: 'a netns that is missing', cached: '{"netns":"/run/netns/no-such"}', want: [] },
    { name: 'a netns whose mount is gone', cached: '{"netns":"/etc/hostname"}', want: [] },
    { name: 'a netns that is there', cached: '{"netns":"/proc/self/ns/net"}', want: ['10.1.2.7'] },
    { name: 'no netns', cached: '{}', want: ['10.1.2.7'] },
    { name: 'an empty netns', cached: '{"netns":""}', want: ['10.1.2.7'] },
    { name: 'half a document', cached: '{"netns":', want: ['10.1.2.7'] },
  ])('judges a holder whose cached result has $name', ({ cached, want }) => {
    const dir = tempDir();
    put(dir, { '10.1.2.7': 'c1\r\neth0' });
    cacheResult(dir, 'n1-c1-eth0', cached);
    expect(reclaim(dir).again).toBe(want.length === 0);
    expect(files(dir)).toEqual(want);
  });

  test('keeps a holder nobody says anything about, and says nothing', () => {
    const dir = tempDir();
    put(dir, { '10.1.2.7': 'c1\r\neth0' });
    expect(reclaim(dir)).toEqual({ again: false, notes: [] });
    expect(files(dir)).toEqual(['10.1.2.7']);
  });

  test('frees what names nobody: its ADD was killed before it wrote', () => {
    const dir = tempDir();
    put(dir, { '10.1.2.7': '', '10.1.2.8': 'c1\r\neth0' });
    expect(reclaim(dir).again).toBe(true);
    expect(files(dir)).toEqual(['10.1.2.8']);
  });

  test('does not look at another set’s addresses', () => {
    const dir = tempDir();
    put(dir, { '10.9.9.9': 'c1\r\neth0' });
    cacheResult(dir, 'n1-c1-eth0', '{"netns":"/run/netns/no-such"}');
    expect(reclaim(dir).again).toBe(false);
  });

  test('names what it freed', () => {
    const dir = tempDir();
    put(dir, { '10.1.2.7': 'c1\r\neth0' });
    cacheResult(dir, 'n1-c1-eth0', '{"netns":"/run/netns/no-such"}');
    expect(reclaim(dir).notes).toEqual(['freed 10.1.2.7 of c1 eth0: its netns /run/netns/no-such is gone']);
  });

  test('frees what an earlier boot left, with its index, and keeps what this boot made', () => {
    const dir = tempDir();
    put(dir, { '.boot': 'an-earlier-id first\n' });
    const owner = { containerId: 'old', ifname: 'eth0' };
    withStore(sys, join(dir, 'n1'), (store) => store.reserve(parseIp('10.1.2.7'), owner));
    age(dir, '10.1.2.7');
    withStore(sys, join(dir, 'n1'), stampBoot);
    withStore(sys, join(dir, 'n1'), (store) => store.reserve(parseIp('10.1.2.8'), { ...owner, containerId: 'new' }));
    expect(reclaim(dir).again).toBe(true);
    expect(files(dir)).toEqual(['10.1.2.8']);
    expect(links(dir)).toEqual(['new:eth0:0']);
  });

  test('takes nothing for old when no boot before this one is known', () => {
    const dir = tempDir();
    put(dir, { '10.1.2.7': 'c1\r\neth0' });
    age(dir, '10.1.2.7');
    withStore(sys, join(dir, 'n1'), stampBoot);
    expect(reclaim(dir).again).toBe(false);
  });
});

describe('stampBoot', () => {
  test('writes once a boot', () => {
    const dir = tempDir();
    put(dir, {});
    withStore(sys, join(dir, 'n1'), stampBoot);
    const stamp = content(dir, '.boot');
    expect(stamp).toMatch(/^[0-9a-f-]{36} first\n$/);
    age(dir, '.boot');
    withStore(sys, join(dir, 'n1'), stampBoot);
    expect(content(dir, '.boot')).toBe(stamp);
    put(dir, { '.boot': 'another first\n' });
    withStore(sys, join(dir, 'n1'), stampBoot);
    expect(content(dir, '.boot')).toBe(stamp.replace('first', 'replaced'));
  });

  test('writes for the first time where it was killed before it wrote', () => {
    const dir = tempDir();
    put(dir, { '.boot': '' });
    withStore(sys, join(dir, 'n1'), stampBoot);
    expect(content(dir, '.boot')).toMatch(/^[0-9a-f-]{36} first\n$/);
  });

  test('keeps address names apart from its own', () => {
    const dir = tempDir();
    put(dir, { '10.1.2.7': 'c1\r\neth0' });
    withStore(sys, join(dir, 'n1'), stampBoot);
    const held = withStore(sys, join(dir, 'n1'), (store) => store.holdings());
    expect(held.map(({ ip }) => formatIp(ip))).toEqual(['10.1.2.7']);
  });
});
