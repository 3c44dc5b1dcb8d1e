import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import {
  CONFLIST_NAME,
  conflistState,
  installConflist,
  readConflist,
  setConflistAside,
  withdrawConflist,
} from './conflist.ts';

const sys = openKoffiSyscalls();
const conflist = '{"name":"cbr0","cniVersion":"0.3.1","plugins":[{"type":"flannel"},{"type":"portmap"}]}\n';
const foreign = '{"name":"other","plugins":[{"type":"bridge"}]}';

function directory(): string {
  const dir = mkdtempSync(`${tmpdir()}/weft-conflist-`);
  onTestFinished(() => rmSync(dir, { recursive: true }));
  return dir;
}

describe('readConflist', () => {
  test.for([
    { name: 'no JSON', text: '{', want: 'invalid JSON' },
    { name: 'a list', text: '[]', want: 'plugins: expected a plugin of type flannel' },
    { name: 'another network', text: foreign, want: 'plugins: expected a plugin of type flannel' },
  ])('refuses $name', ({ text, want }) => {
    const path = `${directory()}/cni-conf.json`;
    writeFileSync(path, text);
    expect(() => readConflist(sys, path)).toThrow(want);
  });

  test('says that there is no such file', () => {
    expect(() => readConflist(sys, '/nonexistent/cni-conf.json')).toThrow('/nonexistent/cni-conf.json: no such file');
  });
});

describe('installConflist', () => {
  test('makes the directory and writes the file readable for all', () => {
    const dir = `${directory()}/net.d`;
    expect(installConflist(sys, dir, conflist)).toBe(`${dir}/${CONFLIST_NAME}`);
    expect(readFileSync(`${dir}/${CONFLIST_NAME}`, 'utf8')).toBe(conflist);
    expect(statSync(`${dir}/${CONFLIST_NAME}`).mode & 0o777).toBe(0o644);
  });

  test('does not write a file that is already right, so that runtimes do not reload it', () => {
    const dir = directory();
    installConflist(sys, dir, conflist);
    const before = statSync(`${dir}/${CONFLIST_NAME}`).ino;
    expect(installConflist(sys, dir, conflist)).toBeUndefined();
    expect(statSync(`${dir}/${CONFLIST_NAME}`).ino).toBe(before);
  });

  test('removes the file that was set aside', () => {
    const dir = directory();
    installConflist(sys, dir, conflist);
    setConflistAside(sys, dir);
    installConflist(sys, dir, conflist);
    expect(readdirSync(dir)).toEqual([CONFLIST_NAME]);
  });
});

describe('setConflistAside', () => {
  test('gives the file a name that no runtime reads', () => {
    const dir = directory();
    installConflist(sys, dir, conflist);
    expect(setConflistAside(sys, dir)).toBe(`${dir}/${CONFLIST_NAME}.not-ready`);
    expect(readdirSync(dir).filter((name) => /\.(conf|conflist|json)$/.test(name))).toEqual([]);
  });

  test('moves a file that was cut off, and never a file of another network', () => {
    const dir = directory();
    expect(setConflistAside(sys, dir)).toBeUndefined();
    writeFileSync(`${dir}/${CONFLIST_NAME}`, foreign);
    expect(setConflistAside(sys, dir)).toBeUndefined();
    expect(readdirSync(dir)).toEqual([CONFLIST_NAME]);
    writeFileSync(`${dir}/${CONFLIST_NAME}`, conflist.slice(0, 20));
    expect(setConflistAside(sys, dir)).toBeDefined();
  });
});

describe('withdrawConflist', () => {
  test('removes Weft’s file in both forms, keeps other files, and succeeds when there is none', () => {
    const dir = directory();
    installConflist(sys, dir, conflist);
    setConflistAside(sys, dir);
    writeFileSync(`${dir}/${CONFLIST_NAME}`, conflist);
    writeFileSync(`${dir}/20-other.conflist`, foreign);
    expect(withdrawConflist(sys, dir)).toHaveLength(2);
    expect(readdirSync(dir)).toEqual([`${CONFLIST_NAME}.withdrawn`, '20-other.conflist']);
    expect(withdrawConflist(sys, dir)).toEqual([]);
    expect(withdrawConflist(sys, '/nonexistent')).toEqual([]);
  });
});

describe('conflistState', () => {
  const own = { cniVersion: '1.0.0', name: 'cbr0', plugins: [{ type: 'flannel', delegate: { hairpinMode: true } }] };
  const ours = JSON.stringify(own);
  const istio = { type: 'istio-cni', log_level: 'info' };

  test.for([
    { name: 'ours', text: ours, want: 'right' },
    {
      name: 'ours with a plugin of somebody, its keys in another order',
      text: JSON.stringify({ plugins: [...own.plugins, istio], name: 'cbr0', cniVersion: '1.0.0' }, undefined, 2),
      want: 'extended',
    },
    {
      name: 'ours with another plugin in front',
      text: JSON.stringify({ ...own, plugins: [istio, ...own.plugins] }),
      want: 'extended',
    },
    {
      name: 'a plugin of ours changed',
      text: JSON.stringify({ ...own, plugins: [{ type: 'flannel' }] }),
      want: 'changed',
    },
    { name: 'another name', text: JSON.stringify({ ...own, name: 'other' }), want: 'changed' },
    { name: 'plugins that are no list', text: JSON.stringify({ ...own, plugins: 7 }), want: 'changed' },
    { name: 'a list where the object should be', text: '[]', want: 'changed' },
    { name: 'half of it', text: ours.slice(0, 30), want: 'no JSON' },
    { name: 'nothing in it', text: '', want: 'no JSON' },
  ])('$name: $want', ({ text, want }) => {
    const dir = directory();
    writeFileSync(`${dir}/${CONFLIST_NAME}`, text);
    expect(conflistState(sys, dir, ours)).toBe(want);
    expect(readdirSync(dir)).toEqual([CONFLIST_NAME]);
  });

  test('distinguishes missing from withdrawn until the file is installed again', () => {
    const dir = directory();
    expect(conflistState(sys, dir, ours)).toBe('missing');
    installConflist(sys, dir, ours);
    withdrawConflist(sys, dir);
    expect(conflistState(sys, dir, ours)).toBe('withdrawn');
    installConflist(sys, dir, ours);
    expect(readdirSync(dir)).toEqual([CONFLIST_NAME]);
  });

  test('does not replace a file that was only extended, and replaces one that was changed', () => {
    const dir = directory();
    const extended = JSON.stringify({ ...own, plugins: [...own.plugins, istio] });
    writeFileSync(`${dir}/${CONFLIST_NAME}`, extended);
    expect(installConflist(sys, dir, ours)).toBeUndefined();
    expect(readFileSync(`${dir}/${CONFLIST_NAME}`, 'utf8')).toBe(extended);
    writeFileSync(`${dir}/${CONFLIST_NAME}`, JSON.stringify({ ...own, name: 'other' }));
    expect(installConflist(sys, dir, ours)).toBeDefined();
    expect(readFileSync(`${dir}/${CONFLIST_NAME}`, 'utf8')).toBe(ours);
  });
});
