// Builds the agent's image (manifests/Dockerfile) with buildah, in a store of its own below the cache folder, where the base
// images and the layers stay for the next time. As root; without a registry the base images are made of the machine's Debian
// mirror and its own Node.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from './command.mjs';

/** Debian's packages for all this, each with a file or command that shows it is there. */
export const IMAGE_PACKAGES = { buildah: 'buildah', mmdebstrap: 'mmdebstrap' };

const repository = fileURLToPath(new URL('../', import.meta.url));
const SUITES = { BASE_IMAGE: 'bookworm', BUILD_IMAGE: 'forky' };
const NODE_IMAGE = 'localhost/weft-base-node';
/** Where the build sees the certificates this machine trusts, if npm is told of any. */
const CERTIFICATES = '/npm-certificates.pem';

/** Runs a program; its stdout when `wanted`, else shown on ours. Throws an Error of one line when it fails. */
export function run(program, args, { wanted = false } = {}) {
  const stdio = ['ignore', wanted ? 'pipe' : 2, 2];
  const options = { cwd: repository, stdio, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 };
  const { status, error, stdout } = spawnSync(program, args, options);
  if (error !== undefined) throw new Error(`${program}: ${error.message}`);
  if (status !== 0) throw new Error(`${program} ${args.find((arg) => !arg.startsWith('/')) ?? ''} failed`);
  return (stdout ?? '').trim();
}

/** Options of buildah that say where its store is. */
function store() {
  const folder = join(cacheFolder(), 'image');
  mkdirSync(folder, { recursive: true });
  return ['--root', join(folder, 'storage'), '--runroot', '/run/weft-image'];
}

/** buildah on our store; returns what it prints. */
export function buildah(...args) {
  return run('buildah', [...store(), ...args], { wanted: true });
}

/** Builds and calls the result `name`; `options` are the image's in commands.mjs. Throws an Error of one line. */
export function buildImage(name, options) {
  const work = mkdtempSync(join(tmpdir(), 'weft-image-'));
  try {
    const given = options['build-arg'] ?? [];
    const bases = options.pull || given.length > 0 ? given : ownBases(work);
    const platform = options.platform === undefined ? [] : ['--platform', options.platform];
    run('buildah', [
      ...store(),
      'bud',
      ...['--network', 'host', '--ignorefile', 'manifests/Dockerfile.dockerignore', '-f', 'manifests/Dockerfile'],
      ...bases.flatMap((text) => ['--build-arg', text]),
      ...npmVolumes(work),
      ...platform,
      // Without --force-rm the stage that is only copied from leaves its container behind.
      ...['--layers', '--force-rm', '-t', name, '.'],
    ]);
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** Writes an image of the store as a tar that `ctr images import` and `docker load` take, under the name `as`. */
export function exportImage(name, file, as) {
  rmSync(file, { force: true });
  buildah('push', '--quiet', name, `docker-archive:${file}:${as}`);
}

/** The same of another build of the agent, which differs in nothing but what it calls itself. */
export function exportOtherBuild(name, file, as) {
  const container = buildah('from', name);
  try {
    const agent = join(buildah('mount', container), 'opt/weft/flanneld');
    const [, id = ''] = /^weft flanneld \S+\+([0-9a-f]+)$/.exec(run(agent, ['--version'], { wanted: true })) ?? [];
    if (id === '') throw new Error(`${agent} --version names no build`);
    const text = readFileSync(agent, 'utf8');
    // Written beside and renamed: the layer below is shared.
    writeFileSync(`${agent}.new`, text.replaceAll(id, [...id].toReversed().join('')), { mode: 0o755 });
    renameSync(`${agent}.new`, agent);
    buildah('commit', '--quiet', container, `${name}-other`);
  } finally {
    buildah('rm', container);
  }
  exportImage(`${name}-other`, file, as);
}

/** Base images from Debian's packages and the machine's Node, unless they are there; the build arguments that name them. */
function ownBases(work) {
  const args = Object.entries(SUITES).map(([argument, suite]) => {
    const name = `localhost/weft-base-${suite}`;
    const tar = join(work, `${suite}.tar`);
    // A mirror that is a snapshot has lists past their date; signatures are checked all the same.
    const old = '--aptopt=Acquire::Check-Valid-Until "false"';
    importOnce(name, tar, () => run('mmdebstrap', ['--quiet', '--variant=minbase', old, suite, tar]));
    return `${argument}=${name}`;
  });
  const prefix = run('npm', ['prefix', '--global'], { wanted: true });
  const files = ['bin/node', 'lib/node_modules/npm'].map((path) => join(prefix, path).slice(1));
  const node = `${NODE_IMAGE}:${process.versions.node}`;
  const tar = join(work, 'node.tar');
  importOnce(node, tar, () => run('tar', ['-C', '/', '-cf', tar, ...files]));
  return [...args, `NODE_IMAGE=${node}`, `NODE_PREFIX=${prefix}`];
}

function importOnce(name, tar, make) {
  const [repositoryName, tag = 'latest'] = name.split(':');
  const images = JSON.parse(buildah('images', '--json') || '[]');
  if (images.some(({ names = [] }) => names.includes(`${repositoryName}:${tag}`))) return;
  process.stderr.write(`making ${name}\n`);
  make();
  const container = buildah('from', 'scratch');
  buildah('add', '--quiet', container, tar, '/');
  buildah('commit', '--quiet', '--rm', container, name);
  rmSync(tar);
}

/** npm's registry and the authorities it trusts are this machine's, as for every other script; no credentials go along. */
function npmVolumes(work) {
  const setting = (key) => run('npm', ['config', 'get', key], { wanted: true });
  const npmrc = join(work, 'npmrc');
  const certificates = setting('cafile');
  const lines = [`registry=${setting('registry')}`];
  const volumes = ['--volume', `${npmrc}:/root/.npmrc:ro`];
  if (existsSync(certificates)) {
    lines.push(`cafile=${CERTIFICATES}`);
    volumes.push('--volume', `${certificates}:${CERTIFICATES}:ro`);
  }
  writeFileSync(npmrc, `${lines.join('\n')}\n`);
  return volumes;
}

/** Compressed sizes of an image's layers, as a registry would have them, in bytes. */
export function layerSizes(name) {
  const work = mkdtempSync(join(tmpdir(), 'weft-image-'));
  try {
    buildah('push', '--quiet', name, `oci:${work}/oci`);
    const read = (path) => JSON.parse(readFileSync(join(work, 'oci', path), 'utf8'));
    const [{ digest }] = read('index.json').manifests;
    return read(join('blobs', digest.replace(':', '/'))).layers.map(({ size }) => size);
  } finally {
    rmSync(work, { recursive: true });
  }
}
