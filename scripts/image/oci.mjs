// Writes images as one OCI archive (image-layout.md and image-index.md of the OCI image specification) from folders that hold their
// files. Whichever tool built the folder, the same files give the same digest: layers are packed here, in order of names, without
// owners and time stamps. So a layer whose files are as in the last release has the same digest, and no node fetches it again.

import { createHash } from 'node:crypto';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { run } from './buildah.mjs';

const TYPES = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
};
const NODE = 'usr/local/bin/node';
const APP = 'opt/weft';
/** Files that a runtime mounts over those of an image, or that an export of a container leaves. */
const NOT_OURS = [
  './dev/*',
  './proc/*',
  './sys/*',
  './.dockerenv',
  './etc/hosts',
  './etc/hostname',
  './etc/resolv.conf',
  './etc/mtab',
];

/** The layers, from those that change least often to those that change most, so that an upgrade fetches only the last. */
const LAYERS = [
  { paths: ['.'], exclude: [...NOT_OURS, `./${NODE}`, `./${APP}`] },
  { paths: [`./${NODE}`], exclude: [] },
  { paths: [`./${APP}`], exclude: [] },
];

/** An image layout in a folder, to which images for several processors are added. */
export class ImageLayout {
  #folder;
  #epoch;
  #manifests = [];

  constructor(folder, epoch) {
    this.#folder = folder;
    this.#epoch = epoch;
    mkdirSync(join(folder, 'blobs/sha256'), { recursive: true });
  }

  /** Adds the image whose files are in `root`. `config` has Entrypoint, Env and Labels. Resolves to the manifest's digest. */
  async add(root, architecture, config) {
    const layers = [];
    for (const layer of LAYERS) layers.push(await this.#layer(root, layer));
    const created = new Date(this.#epoch * 1000).toISOString().replace('.000', '');
    const rootfs = { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) };
    const history = LAYERS.map(() => ({ created, created_by: 'manifests/Dockerfile' }));
    const manifest = {
      schemaVersion: 2,
      mediaType: TYPES.manifest,
      config: this.#json(TYPES.config, { created, architecture, os: 'linux', config, rootfs, history }),
      layers: layers.map(({ descriptor }) => descriptor),
    };
    const descriptor = this.#json(TYPES.manifest, manifest);
    this.#manifests.push({ ...descriptor, platform: { architecture, os: 'linux' } });
    return descriptor.digest;
  }

  /** Writes the archive under the name `as` for containerd. Returns the digest that a registry will give it. */
  writeArchive(file, as) {
    const index = { schemaVersion: 2, mediaType: TYPES.index, manifests: this.#manifests };
    const top = this.#json(TYPES.index, index);
    const tag = as.slice(as.lastIndexOf(':') + 1);
    const annotations = { 'io.containerd.image.name': as, 'org.opencontainers.image.ref.name': tag };
    const entry = { schemaVersion: 2, manifests: [{ ...top, annotations }] };
    writeFileSync(join(this.#folder, 'index.json'), JSON.stringify(entry));
    writeFileSync(join(this.#folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    packFolder(this.#folder, file, this.#epoch);
    return top.digest;
  }

  async #layer(root, { paths, exclude }) {
    const draft = join(this.#folder, 'layer.tar');
    const args = [...tarOptions(0), ...exclude.map((path) => `--exclude=${path}`)];
    run('tar', ['-C', root, ...args, '-cf', draft, ...paths]);
    const diffId = await fileDigest(draft);
    run('gzip', ['-n', '-f', draft]);
    return { diffId, descriptor: this.#blob(TYPES.layer, `${draft}.gz`, await fileDigest(`${draft}.gz`)) };
  }

  #blob(mediaType, file, digest) {
    const { size } = statSync(file);
    renameSync(file, join(this.#folder, 'blobs', digest.replace(':', '/')));
    return { mediaType, digest, size };
  }

  #json(mediaType, value) {
    const text = JSON.stringify(value);
    const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`;
    writeFileSync(join(this.#folder, 'blobs', digest.replace(':', '/')), text);
    return { mediaType, digest, size: Buffer.byteLength(text) };
  }
}

function tarOptions(epoch) {
  // Without these two, pax headers would contain the time of the last access and the process id of tar.
  const pax = '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime';
  return ['--format=posix', pax, '--sort=name', '--owner=0', '--group=0', '--numeric-owner', `--mtime=@${epoch}`];
}

/** Packs what is in a folder, each file with its right modes, so that the same files give the same bytes. */
export function packFolder(folder, file, epoch, { gzip = false, names = readdirSync(folder).sort() } = {}) {
  const draft = `${file}.draft`;
  run('tar', ['-C', folder, ...tarOptions(epoch), '-cf', draft, ...names]);
  if (gzip) {
    run('gzip', ['-n', '-9', '-f', draft]);
    renameSync(`${draft}.gz`, file);
  } else {
    renameSync(draft, file);
  }
}

async function fileDigest(file) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return `sha256:${hash.digest('hex')}`;
}

/** Writes the image for one processor of an archive as an archive of its own, which `docker load` takes too, below `work`. Returns its path. */
export function onlyFor(archive, architecture, work) {
  const layout = freshFolder(join(work, 'layout'));
  const { name, images } = readArchive(archive, layout);
  const image = images.find((one) => one.architecture === architecture);
  if (image === undefined) throw new Error(`${archive}: no image for ${architecture}`);
  const path = (digest) => `blobs/${digest.replace(':', '/')}`;
  const annotations = {
    'io.containerd.image.name': name,
    'org.opencontainers.image.ref.name': name.replace(/.*:/, ''),
  };
  const { mediaType, digest, size } = image.descriptor;
  writeFileSync(
    join(layout, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType, digest, size, annotations }] }),
  );
  const { config, layers } = image.manifest;
  const docker = {
    Config: path(config.digest),
    RepoTags: [name.replace('docker.io/library/', '')],
    Layers: layers.map((layer) => path(layer.digest)),
  };
  writeFileSync(join(layout, 'manifest.json'), JSON.stringify([docker]));
  const blobs = [digest, config.digest, ...layers.map((layer) => layer.digest)].map(path).sort();
  const file = join(work, 'image.tar');
  packFolder(layout, file, 0, { names: [...blobs, 'index.json', 'manifest.json', 'oci-layout'] });
  return file;
}

/** Unpacks an archive into `folder`. Returns its name, `index` (its digest in a registry), and the images with the files of their layers. */
export function readArchive(file, folder) {
  run('tar', ['-C', folder, '-xf', file]);
  const blob = (digest) => join(folder, 'blobs', digest.replace(':', '/'));
  const json = (path) => JSON.parse(readFileSync(path, 'utf8'));
  const [top] = json(join(folder, 'index.json')).manifests;
  const images = json(blob(top.digest)).manifests.map((descriptor) => {
    const manifest = json(blob(descriptor.digest));
    const config = json(blob(manifest.config.digest));
    const layers = manifest.layers.map(({ digest }) => blob(digest));
    return { descriptor, manifest, architecture: descriptor.platform.architecture, config, layers };
  });
  return { name: top.annotations['io.containerd.image.name'], index: top.digest, images };
}

/** Writes an image's files into `root`, as a runtime would unpack them. */
export async function unpackLayers(layers, root) {
  mkdirSync(root, { recursive: true });
  for (const layer of layers) {
    const tar = join(root, '.layer.tar');
    await pipeline(createReadStream(layer), createGunzip(), createWriteStream(tar));
    run('tar', ['-C', root, '-xpf', tar, '--exclude=.layer.tar']);
    rmSync(tar);
  }
}

/** Removes a folder that an interrupted run may have left, and makes it again. */
export function freshFolder(folder) {
  if (existsSync(folder)) rmSync(folder, { recursive: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}
