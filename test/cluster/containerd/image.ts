// Makes the image that every container of the tests runs: Debian's static busybox, packed as an OCI image layout in one tar. This needs
// no registry and no daemon, and the tar contains no date. Source: the OCI image specification, image-layout.md.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const IMAGE = 'weft.test/busybox:1';
const BUSYBOX = '/bin/busybox';

/** Writes the image to `file`. Throws when busybox is missing or not statically linked. */
export function writeImage(file: string): void {
  packImage(file, IMAGE, putBusybox);
}

/** Writes an image of one layer, with what `fill` puts into a folder, to `file`. Its default command only sleeps. */
export function packImage(file: string, name: string, fill: (root: string) => void): void {
  packImages(file, [{ name, config: { Cmd: ['/bin/sleep', '1000000'] } }], fill);
}

/** An image by its name, and what it runs. */
export interface ImageEntry {
  readonly name: string;
  readonly config: { readonly Entrypoint?: readonly string[]; readonly Cmd: readonly string[] };
}

/** The same for several images with the same files. */
export function packImages(file: string, entries: readonly ImageEntry[], fill: (root: string) => void): void {
  const work = mkdtempSync(join(tmpdir(), `weft-image-${process.pid}-`));
  const [root, layer, layout] = [join(work, 'root'), join(work, 'layer.tar'), join(work, 'layout')];
  try {
    fill(root);
    tar(layer, root);
    writeLayout(layout, entries, readFileSync(layer));
    tar(file, layout);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Busybox and its applets, and the folders a container expects. */
export function putBusybox(root: string): void {
  for (const folder of ['bin', 'etc', 'tmp', 'www', 'proc', 'sys', 'dev'])
    mkdirSync(join(root, folder), { recursive: true });
  copyFileSync(BUSYBOX, join(root, 'bin/busybox'));
  for (const applet of run(BUSYBOX, ['--list']).split('\n').filter(Boolean)) {
    if (applet !== 'busybox') symlinkSync('busybox', join(root, 'bin', applet));
  }
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\n');
}

function writeLayout(folder: string, entries: readonly ImageEntry[], layer: Buffer): void {
  const blobs = join(folder, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const blob = (mediaType: string, data: Buffer | string): { mediaType: string; digest: string; size: number } => {
    const hash = createHash('sha256').update(data).digest('hex');
    writeFileSync(join(blobs, hash), data);
    return { mediaType, digest: `sha256:${hash}`, size: Buffer.byteLength(data) };
  };
  const layers = [blob('application/vnd.oci.image.layer.v1.tar', layer)];
  const rootfs = { type: 'layers', diff_ids: layers.map(({ digest }) => digest) };
  const platform = { architecture: process.arch === 'arm64' ? 'arm64' : 'amd64', os: 'linux' };
  const manifests = entries.map(({ name, config }) => {
    const content = { ...platform, config: { Env: ['PATH=/bin'], ...config }, rootfs };
    const image = blob('application/vnd.oci.image.config.v1+json', JSON.stringify(content));
    const manifest = JSON.stringify({ schemaVersion: 2, config: image, layers });
    const annotations = { 'io.containerd.image.name': name };
    return { ...blob('application/vnd.oci.image.manifest.v1+json', manifest), platform, annotations };
  });
  writeFileSync(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
}

/** Packs a folder so that the same files always give the same bytes. */
function tar(file: string, folder: string): void {
  run('tar', [
    '-C',
    folder,
    '--sort=name',
    '--mtime=@0',
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '-cf',
    file,
    '.',
  ]);
}

function run(file: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(file, args, { encoding: 'utf8' });
  if (status === 0) return stdout;
  throw new Error(`${file} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
}
