// Builds the agent's image (manifests/Dockerfile) for one processor, with buildah in a store of ours or with docker, and packs images
// as archives. Buildah needs root. Without a registry, the base images are made here (bases.mjs).

import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sourceDateEpoch } from '../command.mjs';
import { npmVolumes, ownBases, pulledNode } from './bases.mjs';
import { buildah, run, store } from './buildah.mjs';
import { freshFolder, ImageLayout } from './oci.mjs';

/** Debian's packages for all this, each with a file or command that shows it is there. */
export const IMAGE_PACKAGES = { buildah: 'buildah', mmdebstrap: 'mmdebstrap' };
/** The processors an image is made for, as images name them. */
export const ARCHES = ['amd64', 'arm64'];
/** This machine's processor, as images name it. */
export const OWN_ARCH = process.arch === 'arm64' ? 'arm64' : 'amd64';

const DOCKERFILE = ['-f', 'manifests/Dockerfile'];

/**
 * Builds an image with this name for `arch`. `options` are those of `image` in option-kinds.mjs. Throws an Error of one line.
 */
export function buildImage(name, options, arch = OWN_ARCH) {
  const work = mkdtempSync(join(tmpdir(), 'weft-image-'));
  try {
    run('buildah', [
      ...store(),
      'bud',
      ...['--network', 'host', '--ignorefile', 'manifests/Dockerfile.dockerignore', ...DOCKERFILE],
      // Buildah before 1.29 uses the given platform for every stage, so it is told only what to compile for.
      ...[...bases(work, options, arch), `TARGETARCH=${arch}`].flatMap((text) => ['--build-arg', text]),
      ...npmVolumes(work),
      // Without --force-rm, buildah would leave the container of the stage from which files are copied.
      ...(options['no-cache'] ? ['--no-cache'] : []),
      '--layers',
      ...['--force-rm', '-t', name, '.'],
    ]);
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** The build arguments that name the base images. */
function bases(work, options, arch) {
  const given = options['build-arg'] ?? [];
  if (!options.pull && given.length === 0) return ownBases(work, arch);
  if (arch === OWN_ARCH) return given;
  const [, node = /^ARG NODE_IMAGE=(\S+)$/m.exec(dockerfile())?.[1]] =
    given.map((text) => /^NODE_IMAGE=(.+)$/.exec(text)).find((found) => found !== null) ?? [];
  return [...given.filter((text) => !text.startsWith('NODE_IMAGE=')), `NODE_IMAGE=${pulledNode(node, arch)}`];
}

function dockerfile() {
  return readFileSync(new URL('../../manifests/Dockerfile', import.meta.url), 'utf8');
}

/** Calls `use` with the folder that has the image's files, and the image's configuration. */
async function withRoot(name, use) {
  const container = buildah('from', '--pull-never', name);
  try {
    const { OCIv1 } = JSON.parse(buildah('inspect', container));
    return await use(buildah('mount', container), OCIv1.config);
  } finally {
    buildah('rm', container);
  }
}

/** The same with docker, which unpacks the image here because it shows no folder. */
async function withDockerRoot(arch, options, use) {
  const work = mkdtempSync(join(tmpdir(), 'weft-image-'));
  try {
    const given = (options['build-arg'] ?? []).flatMap((text) => ['--build-arg', text]);
    const output = ['--output', `type=tar,dest=${join(work, 'root.tar')}`];
    run('docker', ['buildx', 'build', ...DOCKERFILE, '--platform', `linux/${arch}`, ...given, ...output, '.']);
    const root = freshFolder(join(work, 'root'));
    run('tar', ['-C', root, '-xpf', join(work, 'root.tar')]);
    return await use(root, dockerfileConfig());
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** What the Dockerfile's last stage says about the image; docker's tar has only its files. */
export function dockerfileConfig(text = dockerfile()) {
  const lines = text
    .slice(text.lastIndexOf('\nFROM '))
    .replace(/\\\n\s*/g, '')
    .split('\n');
  const after = (word) => lines.find((line) => line.startsWith(`${word} `))?.slice(word.length + 1) ?? '';
  const labels = [...after('LABEL').matchAll(/(\S+?)="([^"]*)"/g)].map(([, key, value]) => [key, value]);
  return { Env: [after('ENV')], Entrypoint: JSON.parse(after('ENTRYPOINT')), Labels: Object.fromEntries(labels) };
}

/** The part of buildah's or docker's configuration that goes into the image; buildah adds a label with its own version. */
function ourConfig({ Entrypoint, Env, Labels = {} }) {
  const labels = Object.entries(Labels).filter(([key]) => key.startsWith('org.opencontainers.'));
  return { Env, Entrypoint, Labels: Object.fromEntries(labels.sort()) };
}

/**
 * Writes an archive named `as` with one image for each processor of `names`, a map from processor to name in the store. Calls `look` with
 * each image's folder and processor. Resolves to the digest that a registry will give it.
 */
export async function packImages(file, as, names, look = () => undefined) {
  return await pack(
    file,
    as,
    Object.entries(names),
    async ([arch, name], use) => {
      await withRoot(name, (root, config) => use(arch, root, config));
    },
    look,
  );
}

/** Builds with docker and packs in the same way. */
export async function packDockerImages(file, as, arches, options, look = () => undefined) {
  return await pack(
    file,
    as,
    arches,
    (arch, use) => withDockerRoot(arch, options, (root, config) => use(arch, root, config)),
    look,
  );
}

async function pack(file, as, items, withEach, look) {
  const work = mkdtempSync(join(tmpdir(), 'weft-layout-'));
  try {
    const layout = new ImageLayout(join(work, 'layout'), sourceDateEpoch());
    for (const item of items) {
      await withEach(item, async (arch, root, config) => {
        await layout.add(root, arch, ourConfig(config));
        look(root, arch);
      });
    }
    return layout.writeArchive(file, as);
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** Makes another build of the agent, which differs only in the version it reports, under the name NAME-other. */
export function makeOtherBuild(name) {
  const container = buildah('from', name);
  try {
    const folder = join(buildah('mount', container), 'opt/weft');
    const agent = join(folder, 'flanneld');
    const [, id = ''] = /^weft flanneld \S+\+([0-9a-f]+)$/.exec(run(agent, ['--version'], { wanted: true })) ?? [];
    if (id === '') throw new Error(`${agent} --version names no build`);
    const program = join(folder, 'flanneld-agent.js');
    const text = readFileSync(program, 'utf8');
    // A new file is written and renamed, because the layer's own file is shared.
    writeFileSync(`${program}.new`, text.replaceAll(id, [...id].toReversed().join('')), { mode: 0o644 });
    renameSync(`${program}.new`, program);
    buildah('commit', '--quiet', container, `${name}-other`);
  } finally {
    buildah('rm', container);
  }
}
