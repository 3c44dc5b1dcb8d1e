// Makes the files of a release from the image's archive and the manifests. Each is the same, byte for byte, when it is made again.

import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { freshFolder, packFolder, readArchive, unpackLayers } from '../image/oci.mjs';

const APP = 'opt/weft';

/**
 * The CNI executable for each processor in the form in which the reference plugins are published: one archive to unpack into the runtime's
 * folder. It is the same file as in the image. `names` are those of the plugins; all except `flannel` are links to it.
 */
export async function packPlugins({ archive, folder, work, version, epoch, names }) {
  const unpacked = freshFolder(join(work, 'archive'));
  for (const { architecture, layers } of readArchive(archive, unpacked).images) {
    const root = freshFolder(join(work, `root-${architecture}`));
    // The programs are in the last layer.
    await unpackLayers(layers.slice(-1), root);
    const plugins = freshFolder(join(work, `cni-${architecture}`));
    copyFileSync(join(root, APP, 'cni/flannel'), join(plugins, 'flannel'));
    for (const name of names) if (name !== 'flannel') symlinkSync('flannel', join(plugins, name));
    copyFileSync(join(root, APP, 'LICENSE'), join(plugins, 'LICENSE'));
    copyFileSync(join(root, APP, 'licences/THIRD-PARTY.txt'), join(plugins, 'THIRD-PARTY.txt'));
    packFolder(plugins, join(folder, `cni-weft-linux-${architecture}-${version}.tgz`), epoch, { gzip: true });
  }
}

/** A manifest's text with the image that a cluster pulls. Throws when it does not name our image. */
export function withImage(text, version, reference) {
  const ours = `image: weft:${version}`;
  if (!text.includes(ours)) throw new Error(`release: a manifest has no "${ours}"`);
  return text.replaceAll(new RegExp(`^( *)${ours.replaceAll('.', '\\.')}$`, 'gm'), `$1image: ${reference}`);
}

/** The plain files, with the image filled in where they name one. */
export function writeManifests({ manifests, folder, version, reference }) {
  for (const name of ['weft.yml', 'cleanup.yml']) {
    writeFileSync(join(folder, name), withImage(readFileSync(join(manifests, name), 'utf8'), version, reference));
  }
  copyFileSync(join(manifests, 'weft-policy.yml'), join(folder, 'weft-policy.yml'));
}

/**
 * The chart in the form that `helm package` makes: one folder with the chart's name. Helm's own command would put the present time into it,
 * so that no two packages were equal.
 */
export function packChart({ manifests, folder, work, version, image, epoch }) {
  const chart = freshFolder(join(work, 'chart'));
  cpSync(join(manifests, 'helm/weft'), join(chart, 'weft'), { recursive: true });
  const values = join(chart, 'weft/values.yaml');
  const text = readFileSync(values, 'utf8');
  const filled = text.replace(/^( {4}repository: )\S+$/m, `$1${image}`);
  if (filled === text && !text.includes(`repository: ${image}\n`))
    throw new Error('release: values.yaml has no image repository');
  writeFileSync(values, filled);
  packFolder(chart, join(folder, `weft-${version}.tgz`), epoch, { gzip: true });
}

/** The input of `sha256sum --check`: every file of the folder, sorted. */
export function writeSums(folder) {
  const names = readdirSync(folder).filter((name) => name !== 'SHA256SUMS');
  const lines = names.sort().map((name) => {
    const hash = createHash('sha256')
      .update(readFileSync(join(folder, name)))
      .digest('hex');
    return `${hash}  ${name}\n`;
  });
  writeFileSync(join(folder, 'SHA256SUMS'), lines.join(''));
  return lines.join('');
}

/** Copies built files that exist, with their modes. Returns the names of those that do not. */
export function copyBuilt(files, folder) {
  const missing = [];
  mkdirSync(folder, { recursive: true });
  for (const file of files) {
    if (!existsSync(file)) {
      missing.push(basename(file));
      continue;
    }
    const copy = join(folder, basename(file));
    rmSync(copy, { force: true });
    copyFileSync(file, copy);
    chmodSync(copy, 0o755);
  }
  return missing;
}
