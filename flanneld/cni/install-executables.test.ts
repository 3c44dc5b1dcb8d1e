import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { PLUGIN_NAMES } from '../../lib/plugin-names.ts';
import { type Found, identify, planExecutables } from './executables.ts';
import { installExecutables, keptName, ourExecutables, removeExecutables } from './install-executables.ts';

const filler = '\u0000'.repeat(300_000);
const ours = `${filler}CNI flannel plugin (weft)\n${filler}`;
const olderOurs = `older${ours}`;
const go = `${filler}github.com/containernetworking/plugins/pkg/ns${filler}`;
const stranger = `${filler}somebody's${filler}`;

/** A folder with a source and a runtime's folder holding `files`. */
function machine(files: Readonly<Record<string, string>> = {}): { source: string; folder: string } {
  const root = mkdtempSync(join(tmpdir(), 'weft-cni-install-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const folder = join(root, 'bin');
  mkdirSync(folder);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const source = join(root, 'flannel');
  writeFileSync(source, ours);
  return { source, folder };
}

function installed(folder: string, name: string): boolean {
  return readFileSync(join(folder, name), 'utf8') === ours;
}

describe('planExecutables', () => {
  test.for<{ found: Found; replaceable: boolean; want: string }>([
    { found: 'nothing', replaceable: false, want: 'install' },
    { found: 'same', replaceable: false, want: 'keep' },
    { found: 'same', replaceable: true, want: 'keep' },
    { found: 'ours', replaceable: false, want: 'update' },
    { found: 'go', replaceable: false, want: 'leave' },
    { found: 'go', replaceable: true, want: 'replace' },
    { found: 'unknown', replaceable: false, want: 'leave' },
    { found: 'unknown', replaceable: true, want: 'replace' },
  ])('$found, replaceable $replaceable: $want', ({ found, replaceable, want }) => {
    const plan = planExecutables(() => found, new Set(replaceable ? ['portmap'] : []));
    expect(plan.find(({ name }) => name === 'portmap')?.step).toBe(want);
  });
});

describe('identify', () => {
  test.for<{ name: string; text: string; want: Found }>([
    { name: 'our very file', text: ours, want: 'same' },
    { name: 'another build of ours', text: olderOurs, want: 'ours' },
    { name: 'as long, but different', text: ours.replaceAll('\u0000', '\u0001'), want: 'ours' },
    { name: 'a reference plugin', text: go, want: 'go' },
    { name: 'something else', text: stranger, want: 'unknown' },
    { name: 'an empty file', text: '', want: 'unknown' },
  ])('$name: $want', ({ text, want }) => {
    const { folder } = machine({ x: text });
    expect(identify(join(folder, 'x'), Buffer.from(ours))).toBe(want);
  });

  test.for([-20, -14, -7, -1, 0, 1])('finds a mark that begins %d bytes from the end of a chunk', (offset) => {
    const before = 'x'.repeat(256 * 1024 + offset);
    const { folder } = machine({ x: `${before} plugin (weft)` });
    expect(identify(join(folder, 'x'), new Uint8Array())).toBe('ours');
  });

  test('treats a link without a target, and a folder, as another vendor’s', () => {
    const { folder } = machine();
    symlinkSync('/nonexistent/cni/flannel', join(folder, 'flannel'));
    mkdirSync(join(folder, 'bridge'));
    expect(identify(join(folder, 'flannel'), new Uint8Array())).toBe('unknown');
    expect(identify(join(folder, 'bridge'), new Uint8Array())).toBe('unknown');
    expect(identify(join(folder, 'portmap'), new Uint8Array())).toBe('nothing');
  });
});

describe('installExecutables', () => {
  test('installs an executable under every free name', () => {
    const { source, folder } = machine();
    installExecutables(source, folder, new Set());
    expect(readdirSync(folder).sort()).toEqual([...PLUGIN_NAMES].sort());
    for (const name of PLUGIN_NAMES) {
      expect(installed(folder, name)).toBe(true);
      expect(statSync(join(folder, name)).mode & 0o777).toBe(0o755);
      // A link would carry what another installer's `cp -f` writes to one name to all of them.
      expect(statSync(join(folder, name)).nlink).toBe(1);
    }
  });

  test('makes the folder', () => {
    const { source, folder } = machine();
    installExecutables(source, join(folder, 'deep/er'), new Set());
    expect(installed(join(folder, 'deep/er'), 'flannel')).toBe(true);
  });

  test('never replaces another vendor’s file without a flag', () => {
    const { source, folder } = machine({ bridge: go, portmap: stranger, flannel: olderOurs });
    const plan = installExecutables(source, folder, new Set());
    expect(readFileSync(join(folder, 'bridge'), 'utf8')).toBe(go);
    expect(readFileSync(join(folder, 'portmap'), 'utf8')).toBe(stranger);
    expect(installed(folder, 'flannel')).toBe(true);
    expect(plan.map(({ name, step }) => `${name} ${step}`)).toEqual([
      'flannel update',
      'bridge leave',
      'host-local install',
      'loopback install',
      'portmap leave',
      'bandwidth install',
    ]);
  });

  test('replaces only the named files, and keeps copies of the old ones', () => {
    const { source, folder } = machine({ bridge: go, flannel: go });
    installExecutables(source, folder, new Set(['flannel']));
    expect(installed(folder, 'flannel')).toBe(true);
    expect(readFileSync(join(folder, keptName('flannel')), 'utf8')).toBe(go);
    expect(readFileSync(join(folder, 'bridge'), 'utf8')).toBe(go);
  });

  test('keeps a link as a link, also one that leads out of the mounted folder', () => {
    const { source, folder } = machine();
    symlinkSync('/nonexistent/data/current/bin/cni', join(folder, 'bridge'));
    installExecutables(source, folder, new Set(['bridge']));
    expect(installed(folder, 'bridge')).toBe(true);
    removeExecutables(folder);
    expect(readlinkSync(join(folder, 'bridge'))).toBe('/nonexistent/data/current/bin/cni');
  });

  test('writes nothing when it runs a second time', () => {
    const { source, folder } = machine();
    installExecutables(source, folder, new Set());
    const before = PLUGIN_NAMES.map((name) => statSync(join(folder, name)).ino);
    const plan = installExecutables(source, folder, new Set(PLUGIN_NAMES));
    expect(PLUGIN_NAMES.map((name) => statSync(join(folder, name)).ino)).toEqual(before);
    expect(new Set(plan.map(({ step }) => step))).toEqual(new Set(['keep']));
  });

  test('does not disturb a process that runs the old executable, because it writes a new file', () => {
    const { source, folder } = machine({ flannel: olderOurs });
    const before = statSync(join(folder, 'flannel')).ino;
    installExecutables(source, folder, new Set());
    expect(statSync(join(folder, 'flannel')).ino).not.toBe(before);
  });

  test('names a missing source file, and leaves no partial file', () => {
    const { source, folder } = machine();
    rmSync(source);
    expect(() => installExecutables(source, folder, new Set())).toThrow(`cni: read ${source}: ENOENT`);
    writeFileSync(source, ours);
    mkdirSync(join(folder, 'loopback'));
    expect(() => installExecutables(source, folder, new Set(['loopback']))).toThrow(
      /^cni: install .*loopback.*: EISDIR$/,
    );
    expect(readdirSync(folder).filter((name) => name.includes('.weft-'))).toEqual([]);
  });
});

describe('removeExecutables', () => {
  test('removes Weft’s files, restores replaced ones, and keeps those of others', () => {
    const { source, folder } = machine({ bridge: go, flannel: go, other: stranger });
    installExecutables(source, folder, new Set(['flannel']));
    expect(ourExecutables(folder).map((path) => path.slice(folder.length + 1))).toEqual([
      'flannel',
      'host-local',
      'loopback',
      'portmap',
      'bandwidth',
      '.flannel.before-weft',
    ]);
    removeExecutables(folder);
    expect(readdirSync(folder).sort()).toEqual(['bridge', 'flannel', 'other']);
    expect(readFileSync(join(folder, 'flannel'), 'utf8')).toBe(go);
    expect(ourExecutables(folder)).toEqual([]);
  });

  test('keeps a file that another installer has written over Weft’s', () => {
    const { source, folder } = machine({ flannel: go });
    installExecutables(source, folder, new Set(['flannel']));
    writeFileSync(join(folder, 'flannel'), stranger);
    removeExecutables(folder);
    expect(readFileSync(join(folder, 'flannel'), 'utf8')).toBe(stranger);
    expect(existsSync(join(folder, keptName('flannel')))).toBe(false);
  });

  test('succeeds when the folder does not exist', () => {
    expect(removeExecutables('/nonexistent/bin')).toEqual([]);
    expect(ourExecutables('/nonexistent/bin')).toEqual([]);
  });
});
