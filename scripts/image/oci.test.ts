import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { debianComponent } from './bill.mjs';
import { dockerfileConfig } from './image-build.mjs';
import { ImageLayout, onlyFor, packFolder, readArchive, unpackLayers } from './oci.mjs';

const EPOCH = 1_700_000_000;
const NAME = 'docker.io/library/weft:1.2.3';
const config = { Entrypoint: ['/opt/weft/flanneld'], Env: [], Labels: {} };

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'weft-oci-'));
  onTestFinished(() => rmSync(made, { recursive: true }));
  return made;
}

/** Files as the Dockerfile leaves them, with the present time as theirs. */
function imageRoot(text = 'agent'): string {
  const root = folder();
  for (const path of ['usr/local/bin', 'opt/weft', 'etc', 'dev']) mkdirSync(join(root, path), { recursive: true });
  writeFileSync(join(root, 'usr/local/bin/node'), 'node', { mode: 0o755 });
  writeFileSync(join(root, 'opt/weft/flanneld'), text, { mode: 0o755 });
  writeFileSync(join(root, 'etc/old'), 'from a package');
  utimesSync(join(root, 'etc/old'), 1_000_000_000, 1_000_000_000);
  writeFileSync(join(root, '.dockerenv'), '');
  symlinkSync('usr/local/bin', join(root, 'bin'));
  return root;
}

async function archiveOf(arches: Readonly<Record<string, string>>): Promise<{ file: string; digest: string }> {
  const work = folder();
  const layout = new ImageLayout(join(work, 'layout'), EPOCH);
  for (const [arch, root] of Object.entries(arches)) await layout.add(root, arch, config);
  const file = join(work, 'image.tar');
  return { file, digest: layout.writeArchive(file, NAME) };
}

describe('an archive of images', () => {
  test('has the same bytes when the same files are packed later, and other bytes when one file differs', async () => {
    const first = await archiveOf({ amd64: imageRoot(), arm64: imageRoot('other') });
    const later = imageRoot();
    utimesSync(join(later, 'opt/weft/flanneld'), 1_900_000_000, 1_900_000_000);
    const second = await archiveOf({ amd64: later, arm64: imageRoot('other') });
    expect(second.digest).toBe(first.digest);
    expect(readFileSync(second.file).equals(readFileSync(first.file))).toBe(true);
    const changed = await archiveOf({ amd64: imageRoot('changed'), arm64: imageRoot('other') });
    expect(changed.digest).not.toBe(first.digest);
  });

  test('holds every file with its mode, and nothing that a container tool left', async () => {
    const { file, digest } = await archiveOf({ amd64: imageRoot(), arm64: imageRoot('other') });
    const { name, index, images } = readArchive(file, folder());
    expect([name, index]).toEqual([NAME, digest]);
    expect(images.map(({ architecture }) => architecture)).toEqual(['amd64', 'arm64']);
    const root = folder();
    await unpackLayers(images[1]?.layers ?? [], root);
    expect(readFileSync(join(root, 'opt/weft/flanneld'), 'utf8')).toBe('other');
    expect(readFileSync(join(root, 'bin/node'), 'utf8')).toBe('node');
    const listed = execFileSync('find', ['.', '-printf', '%P %m %T@\n'], { cwd: root, encoding: 'utf8' }).split('\n');
    expect(listed.filter((line) => line.startsWith('etc/old '))).toEqual(['etc/old 644 0.0000000000']);
    expect(listed.filter((line) => line.startsWith('opt/weft/flanneld '))).toEqual([
      'opt/weft/flanneld 755 0.0000000000',
    ]);
    expect(existsSync(join(root, '.dockerenv'))).toBe(false);
  });

  test('is cut down to one processor with the file that docker load reads', async () => {
    const { file } = await archiveOf({ amd64: imageRoot(), arm64: imageRoot('other') });
    const work = folder();
    const cut = onlyFor(file, 'arm64', work);
    const unpacked = folder();
    execFileSync('tar', ['-C', unpacked, '-xf', cut]);
    const [image] = JSON.parse(readFileSync(join(unpacked, 'manifest.json'), 'utf8'));
    expect(image.RepoTags).toEqual(['weft:1.2.3']);
    expect(JSON.parse(readFileSync(join(unpacked, image.Config), 'utf8')).architecture).toBe('arm64');
    expect(image.Layers.filter((path: string) => !existsSync(join(unpacked, path)))).toEqual([]);
    expect(
      execFileSync('find', ['blobs', '-type', 'f'], { cwd: unpacked, encoding: 'utf8' }).trim().split('\n'),
    ).toHaveLength(5);
    expect(() => onlyFor(cut, 'arm64', folder())).toThrow();
    await expect(archiveOf({ amd64: imageRoot() }).then((one) => onlyFor(one.file, 'arm64', folder()))).rejects.toThrow(
      'no image for arm64',
    );
  });
});

test('packFolder keeps links and modes, and gives the same bytes each time', () => {
  const [from, out] = [folder(), folder()];
  writeFileSync(join(from, 'flannel'), 'program');
  chmodSync(join(from, 'flannel'), 0o755);
  symlinkSync('flannel', join(from, 'bridge'));
  packFolder(from, join(out, 'a.tgz'), EPOCH, { gzip: true });
  utimesSync(join(from, 'flannel'), 1, 1);
  packFolder(from, join(out, 'b.tgz'), EPOCH, { gzip: true });
  expect(readFileSync(join(out, 'a.tgz')).equals(readFileSync(join(out, 'b.tgz')))).toBe(true);
  const listed = execFileSync('tar', ['-tvzf', join(out, 'a.tgz')], { encoding: 'utf8' });
  expect(listed).toMatch(/^lrwxrwxrwx .* bridge -> flannel$/m);
  expect(listed).toMatch(/^-rwxr-xr-x .* flannel$/m);
});

test('a Debian package becomes a component, described by its control file', () => {
  const control = 'Package: libstdc++6\nArchitecture: amd64\nVersion: 12.2.0-14+deb12u1\n';
  expect(debianComponent(control)).toEqual({
    type: 'library',
    name: 'libstdc++6',
    version: '12.2.0-14+deb12u1',
    purl: 'pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64',
  });
  expect(() => debianComponent('nothing')).toThrow('no package in: nothing');
});

test('settings that docker does not report are read from the Dockerfile’s last stage', () => {
  expect(dockerfileConfig()).toEqual({
    Env: ['PATH=/usr/local/bin:/usr/sbin:/usr/bin'],
    Entrypoint: ['/opt/weft/flanneld'],
    Labels: {
      'org.opencontainers.image.title': 'weft',
      'org.opencontainers.image.description': 'A flannel-compatible VXLAN overlay network that heals itself',
      'org.opencontainers.image.licenses': 'Apache-2.0',
    },
  });
});
