// `npm run image`: the agent's image for amd64 and arm64 as one archive, dist/weft-VERSION.oci.tar, and a list of its contents. `load` and
// `push` bring the archive to where nodes find it. Each prints at its end the one line that installs it.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { imageBill } from './image/bill.mjs';
import { loadImage, pushImage } from './image/deliver.mjs';
import { ARCHES, buildImage, IMAGE_PACKAGES, packDockerImages, packImages } from './image/image-build.mjs';
import { ensurePackages, isOnPath } from './setup.mjs';

const dist = fileURLToPath(new URL('../dist', import.meta.url));
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

/** The archive, and the name that the manifests have for the image. */
export const archive = join(dist, `weft-${version}.oci.tar`);
export const NAME = `weft:${version}`;
/** The image's name in the form that a container runtime completes. */
export const FULL_NAME = `docker.io/library/${NAME}`;

/** The SBOM of the image for one processor. */
export const billFile = (arch) => join(dist, `weft-${version}-linux-${arch}.cdx.json`);

/** Builds the archive and the SBOMs. Resolves to the digest of the image in a registry. */
export async function makeArchive(options) {
  mkdirSync(dist, { recursive: true });
  const arches = options.arch ?? ARCHES;
  const look = (root, arch) => writeFileSync(billFile(arch), `${JSON.stringify(imageBill(root), null, 2)}\n`);
  if (chooseBuilder(options) === 'docker') return await packDockerImages(archive, FULL_NAME, arches, options, look);
  if (process.getuid() !== 0) throw new Error('buildah has its store and its mounts as root: run this as root');
  ensurePackages(IMAGE_PACKAGES);
  for (const arch of arches) buildImage(imageName(arch), options, arch);
  return await packImages(archive, FULL_NAME, Object.fromEntries(arches.map((arch) => [arch, imageName(arch)])), look);
}

const imageName = (arch) => `localhost/weft:${arch}`;

/** Docker is used when it is requested, or when there is nothing else: it needs a registry for the base images. */
function chooseBuilder({ builder }) {
  if (builder !== undefined) return builder;
  return !isOnPath('buildah') && !isOnPath('apt-get') && isOnPath('docker') ? 'docker' : 'buildah';
}

async function build(values) {
  const digest = await makeArchive(values);
  process.stdout.write(`${archive}\n${FULL_NAME}@${digest}\n`);
  process.stdout.write(
    '\nNext:\n  npm run image -- push REGISTRY/weft:TAG\n  npm run image -- load kind|containerd|docker\n',
  );
  return 0;
}

export async function main(values, [what, ...words]) {
  if (what === undefined) return await build(values);
  if (!existsSync(archive)) throw new Error(`there is no ${archive}: run npm run image first`);
  if (what === 'load') return loadImage(archive, words);
  if (what === 'push') return pushImage(archive, words);
  throw new Error(`expected load or push, got "${what}" (--help says more)`);
}
