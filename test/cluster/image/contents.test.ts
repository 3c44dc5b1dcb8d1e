// What the image's files are, for both processors, without running it: programs, modes, shells, licences; and that a second build without
// any cache gives the same digest.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { buildImage, OWN_ARCH, packImages } from '../../../scripts/image/image-build.mjs';
import { readArchive, type StoredImage, unpackLayers } from '../../../scripts/image/oci.mjs';
import { agent } from './manifest.ts';
import { imageFolder } from './site.ts';

const ARCHES = ['amd64', 'arm64'] as const;
/** Everything that may be executed, and why it is there. */
const PROGRAMS = {
  'opt/weft/flanneld': 'the agent',
  'opt/weft/cni/flannel': 'the CNI executable, which the agent installs on the node',
  'usr/local/bin/node': 'runs the agent',
  'usr/sbin/nft': 'masquerade and forward rules',
  'usr/sbin/xtables-nft-multi': 'the same where EnableNFTables is false',
  'usr/sbin/xtables-legacy-multi': 'the same where kube-proxy uses iptables-legacy',
  'usr/bin/busybox':
    'kubectl exec, sleep in cleanup.yml, and sh for the first lines of flanneld and the commands of the backend extension',
};
/** Parts of the C library that the loader or a person may execute. */
const LIBRARY = /^usr\/lib\/[a-z0-9_]+-linux-gnu\/(ld-linux-[a-z0-9-]+\.so\.\d|libc\.so\.6)$/;
/** ELF's numbers for the processors, e_machine. */
const MACHINES = { amd64: 62, arm64: 183 };
const SHELL = /(^|\/)(bash|dash|ash|zsh|ksh|csh|fish|perl|python[0-9.]*)$/;

interface Entry {
  readonly path: string;
  /** In find's format: `-` for a file, `d`, `l` and so on, then octal. */
  readonly kind: string;
  readonly mode: number;
  readonly target: string;
}

const roots = new Map<string, string>();
const entries = new Map<string, Entry[]>();
let work: string;
let images: readonly StoredImage[];
let index: string;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'weft-contents-'));
  const archive = readArchive(join(imageFolder(), 'image.tar'), work);
  ({ images, index } = archive);
  for (const { architecture, layers } of images) {
    const root = join(work, `root-${architecture}`);
    await unpackLayers(layers, root);
    roots.set(architecture, root);
    entries.set(architecture, listEntries(root));
  }
}, 120_000);
afterAll(() => rmSync(work, { recursive: true, force: true }));

function listEntries(root: string): Entry[] {
  const text = execFileSync('find', ['.', '-mindepth', '1', '-printf', '%P\\t%y\\t%m\\t%l\\n'], {
    cwd: root,
    encoding: 'utf8',
  });
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [path = '', kind = '', mode = '', target = ''] = line.split('\t');
      return { path, kind, mode: Number.parseInt(mode, 8), target };
    });
}

/** Paths for which `isBad` holds. */
function bad(arch: string, isBad: (entry: Entry) => boolean): string[] {
  return (entries.get(arch) ?? []).filter(isBad).map(({ path }) => path);
}

test('the archive has an image for each processor, with the entry that the manifest runs', () => {
  expect(images.map(({ architecture }) => architecture)).toEqual(ARCHES);
  for (const { config } of images) expect(config.config['Entrypoint']).toEqual(agent.command);
});

describe.for(ARCHES)('the image for %s', (arch) => {
  test('has no file that gives rights to who executes it', () => {
    expect(bad(arch, ({ kind, mode }) => kind === 'f' && (mode & 0o6000) !== 0)).toEqual([]);
    const root = roots.get(arch) ?? '';
    expect(
      execFileSync('sh', ['-c', 'command -v getcap >/dev/null && getcap -r "$0" || true', root], { encoding: 'utf8' }),
    ).toBe('');
  });

  test('has nothing that anybody may write, but the folders for that, which are sticky', () => {
    const writable = bad(arch, ({ kind, mode }) => kind !== 'l' && (mode & 0o002) !== 0);
    expect(writable.sort()).toEqual(['tmp', 'var/tmp']);
    expect(bad(arch, ({ path, mode }) => ['tmp', 'var/tmp'].includes(path) && (mode & 0o1000) === 0)).toEqual([]);
    expect(bad(arch, ({ kind }) => !['f', 'd', 'l'].includes(kind))).toEqual([]);
  });

  test('can execute what is in the list above, and nothing else', () => {
    const programs = bad(arch, ({ path, kind, mode }) => kind === 'f' && (mode & 0o111) !== 0 && !LIBRARY.test(path));
    expect(programs.sort()).toEqual(Object.keys(PROGRAMS).sort());
  });

  test('has one shell, busybox, and no interpreter but Node', () => {
    expect(bad(arch, ({ path, kind }) => kind !== 'd' && SHELL.test(path))).toEqual([]);
    const shells = (entries.get(arch) ?? []).filter(({ path }) => /(^|\/)sh$/.test(path));
    expect(shells.map(({ path, target }) => `${path} -> ${target}`)).toEqual(['usr/bin/sh -> busybox']);
  });

  test('has only programs of its processor', () => {
    const wrong = bad(arch, ({ path, kind }) => kind === 'f' && machineOf(join(roots.get(arch) ?? '', path), arch));
    expect(wrong).toEqual([]);
  });

  test('can be read by any user, so that it runs as one where it needs no file of the host', () => {
    const closed = bad(
      arch,
      ({ kind, mode }) => kind !== 'l' && (mode & (kind === 'd' ? 0o005 : 0o004)) !== (kind === 'd' ? 0o005 : 0o004),
    );
    expect(closed).toEqual([]);
  });

  test('has a licence of every package, and an SBOM', () => {
    const root = roots.get(arch) ?? '';
    const documented = (name: string): boolean => existsSync(join(root, 'usr/share/doc', name, 'copyright'));
    // These packages reach the documents of gcc-12-base by a link to a folder, which a copy of the files alone lacks.
    const shared = ['libgcc-s1', 'libstdc++6'];
    const packages = readdirSync(join(root, 'var/lib/dpkg/status.d'));
    expect(packages.filter((name) => !documented(name) && !shared.includes(name))).toEqual([]);
    expect(documented('gcc-12-base')).toBe(true);
    const bill = JSON.parse(readFileSync(join(root, 'opt/weft/licences/sbom.cdx.json'), 'utf8'));
    const cpu = arch === 'amd64' ? 'x64' : arch;
    expect(JSON.stringify(bill)).toContain(`@koromix/koffi-linux-${cpu}`);
  });
});

/** Whether the file is a program for another processor. */
function machineOf(file: string, arch: (typeof ARCHES)[number]): boolean {
  const header = readFileSync(file).subarray(0, 20);
  return header.subarray(0, 4).equals(Buffer.from('\x7fELF')) && header.readUInt16LE(18) !== MACHINES[arch];
}

test('a second build, with every step run again, has the same digest', { timeout: 1_200_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-again-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const first = images.find(({ architecture }) => architecture === OWN_ARCH);
  const name = 'localhost/weft:again';
  buildImage(name, { 'no-cache': true });
  await packImages(join(folder, 'again.tar'), 'weft:again', { [OWN_ARCH]: name });
  const [again] = readArchive(join(folder, 'again.tar'), folder).images;
  expect(again?.descriptor.digest).toBe(first?.descriptor.digest);
  expect(index).toMatch(/^sha256:[0-9a-f]{64}$/);
});
