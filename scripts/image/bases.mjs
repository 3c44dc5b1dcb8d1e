// Base images for a build without a registry: Debian's from the machine's own mirror (mmdebstrap), and this machine's Node. For
// another processor, Node is the package of the same version in npm's registry. Each is made once and stays in the store.

import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nodeArch } from '../build.mjs';
import { buildah, run } from './buildah.mjs';

const SUITES = { BASE_IMAGE: 'bookworm', BUILD_IMAGE: 'forky' };
const NODE_IMAGE = 'localhost/weft-base-node';
/** Where the build finds the certificates that this machine's npm trusts, if npm is configured with any. */
const CERTIFICATES = '/npm-certificates.pem';

/** Makes the base images that are missing for an image for `arch` (amd64 or arm64). Returns the build arguments that name them. */
export function ownBases(work, arch) {
  const args = Object.entries(SUITES).map(([argument, suite]) => {
    const name = `localhost/weft-base-${suite}`;
    const tar = join(work, `${suite}.tar`);
    // A snapshot mirror has lists that have expired. Their signatures are still checked.
    const old = '--aptopt=Acquire::Check-Valid-Until "false"';
    importOnce(name, tar, () => run('mmdebstrap', ['--quiet', '--variant=minbase', old, suite, tar]));
    return `${argument}=${name}`;
  });
  const prefix = run('npm', ['prefix', '--global'], { wanted: true });
  const own = ownNode(work, prefix);
  const node = nodeArch(arch) === process.arch ? own : otherNode(work, prefix, arch);
  return [...args, `NODE_IMAGE=${node}`, `BUILD_NODE_IMAGE=${own}`, `NODE_PREFIX=${prefix}`];
}

function ownNode(work, prefix) {
  const name = `${NODE_IMAGE}:${process.versions.node}`;
  const tar = join(work, 'node.tar');
  const files = ['bin/node', 'lib/node_modules/npm'].map((path) => join(prefix, path).slice(1));
  importOnce(name, tar, () => run('tar', ['-C', '/', '-cf', tar, ...files]));
  return name;
}

/** The same Node for another processor. npm checks what it fetches against the registry's checksum. */
function otherNode(work, prefix, arch) {
  const name = `${NODE_IMAGE}-${arch}:${process.versions.node}`;
  const tar = join(work, `node-${arch}.tar`);
  importOnce(name, tar, () => fetchNode(work, prefix, arch, tar));
  return name;
}

function fetchNode(work, prefix, arch, tar) {
  const folder = join(work, `node-${arch}`);
  mkdirSync(folder);
  const wanted = `node-linux-${nodeArch(arch)}@${process.versions.node}`;
  run('npm', ['pack', '--silent', '--pack-destination', folder, wanted], { wanted: true });
  const [file] = readdirSync(folder);
  const place = `s,^package,${prefix.slice(1)},`;
  run('tar', ['-C', folder, '-xzf', join(folder, file), '--transform', place, 'package/bin/node']);
  run('tar', ['-C', folder, '--owner=0', '--group=0', '--mode=755', '-cf', tar, prefix.slice(1)]);
}

function importOnce(name, tar, make) {
  const [repositoryName, tag = 'latest'] = name.split(':');
  const images = JSON.parse(buildah('images', '--json') || '[]');
  if (images.some(({ names }) => names?.includes(`${repositoryName}:${tag}`))) return;
  process.stderr.write(`making ${name}\n`);
  make();
  const container = buildah('from', 'scratch');
  buildah('add', '--quiet', container, tar, '/');
  buildah('commit', '--quiet', '--rm', container, name);
  rmSync(tar);
}

/** A registry's Node for another processor, under a name of ours and marked as this machine's, because only its files are copied. */
export function pulledNode(image, arch) {
  const name = `localhost/weft-pulled-node-${arch}`;
  const container = buildah('from', '--platform', `linux/${arch}`, image);
  buildah('config', '--arch', process.arch === 'arm64' ? 'arm64' : 'amd64', container);
  buildah('commit', '--quiet', '--rm', container, name);
  return name;
}

/** Gives the build this machine's npm registry and trusted authorities, as other scripts use them, but no credentials. */
export function npmVolumes(work) {
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
