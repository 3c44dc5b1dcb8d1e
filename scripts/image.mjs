// Builds the agent's image (manifests/Dockerfile) with buildah, in a store below the cache folder, which keeps base images and
// layers for the next build. Needs root. Without a registry, the base images are made from the machine's Debian mirror and its own
// Node.

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
/** Where the build finds the certificates that this machine's npm trusts, if npm is configured with any. */
const CERTIFICATES = '/npm-certificates.pem';

/** Runs a program. Returns its stdout when `wanted`, otherwise shows it. Throws an Error of one line when the program fails. */
export function run(program, args, { wanted = false } = {}) {
  const stdio = ['ignore', wanted ? 'pipe' : 2, 2];
  const options = { cwd: repository, stdio, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 };
  const { status, error, stdout } = spawnSync(program, args, options);
  if (error !== undefined) throw new Error(`${program}: ${error.message}`);
  if (status !== 0) throw new Error(`${program} ${args.find((arg) => !arg.startsWith('/')) ?? ''} failed`);
  return (stdout ?? '').trim();
}

/** The options that tell buildah where our store is. */
function store() {
  const folder = join(cacheFolder(), 'image');
  mkdirSync(folder, { recursive: true });
  return ['--root', join(folder, 'storage'), '--runroot', '/run/weft-image'];
}

/** Runs buildah on our store and returns its output. */
export function buildah(...args) {
  return run('buildah', [...store(), ...args], { wanted: true });
}

/** Builds an image with this name. `options` are those of `image` in commands.mjs. Throws an Error of one line. */
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
      // Without --force-rm, buildah would leave the container of the stage from which files are copied.
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

/** Does the same with another build of the agent, which differs only in the version it reports. */
export function exportOtherBuild(name, file, as) {
  const container = buildah('from', name);
  try {
    const agent = join(buildah('mount', container), 'opt/weft/flanneld');
    const [, id = ''] = /^weft flanneld \S+\+([0-9a-f]+)$/.exec(run(agent, ['--version'], { wanted: true })) ?? [];
    if (id === '') throw new Error(`${agent} --version names no build`);
    const text = readFileSync(agent, 'utf8');
    // A new file is written and renamed, because the layer's own file is shared.
    writeFileSync(`${agent}.new`, text.replaceAll(id, [...id].toReversed().join('')), { mode: 0o755 });
    renameSync(`${agent}.new`, agent);
    buildah('commit', '--quiet', container, `${name}-other`);
  } finally {
    buildah('rm', container);
  }
  exportImage(`${name}-other`, file, as);
}

/** Makes base images of Debian's packages and this Node, unless they exist. Returns the build arguments that name them. */
function ownBases(work) {
  const args = Object.entries(SUITES).map(([argument, suite]) => {
    const name = `localhost/weft-base-${suite}`;
    const tar = join(work, `${suite}.tar`);
    // A snapshot mirror has lists that have expired. Their signatures are still checked.
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

/** Gives the build this machine's npm registry and trusted authorities, as other scripts use them, but no credentials. */
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
