// `npm run release`: everything a version is published as, in dist/release/VERSION. With --dry-run nothing leaves this machine; without
// it the image is pushed. `version X.Y.Z` gives the repository its next version.

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildPrograms } from './build.mjs';
import { sourceDateEpoch } from './command.mjs';
import { pushImage } from './image/deliver.mjs';
import { ARCHES } from './image/image-build.mjs';
import { freshFolder } from './image/oci.mjs';
import { archive, billFile, makeArchive } from './image.mjs';
import { writeKubectlPluginLicences } from './licences.mjs';
import { copyBuilt, packChart, packPlugins, writeManifests, writeSums } from './release/artefacts.mjs';
import { releaseNotes } from './release/notes.mjs';
import { setVersion } from './version.mjs';

const root = fileURLToPath(new URL('../', import.meta.url));
const manifests = join(root, 'manifests');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
/** No registry has this name (RFC 2606), so a dry run's manifests cannot pull somebody else's image. */
const NOWHERE = 'registry.example/weft';
/** The programs for the user's machine, which are the same on every processor. */
const PLUGINS = [join(root, 'dist/kubectl-weft')];

/** Makes the folder of the release. Resolves to its path. */
async function makeRelease({ image, unreleased, options }) {
  const folder = freshFolder(join(root, 'dist/release', version));
  const notes = releaseNotes(readFileSync(join(root, 'CHANGELOG.md'), 'utf8'), version, { unreleased });
  const epoch = sourceDateEpoch();
  const work = mkdtempSync(join(tmpdir(), 'weft-release-'));
  try {
    const digest = await makeArchive(options);
    copyFileSync(archive, join(folder, basename(archive)));
    for (const arch of ARCHES) copyFileSync(billFile(arch), join(folder, basename(billFile(arch))));
    await packPlugins({ archive, folder, work, version, epoch, names: pluginNames() });
    writeManifests({ manifests, folder, version, reference: `${image}:${version}@${digest}` });
    packChart({ manifests, folder, work, version, image, epoch });
    await buildPrograms();
    for (const name of copyBuilt(PLUGINS, folder))
      process.stderr.write(`release: there is no dist/${name} to publish\n`);
    await writeKubectlPluginLicences(folder, version);
    writeFileSync(join(folder, 'RELEASE-NOTES.md'), notes);
    process.stdout.write(writeSums(folder));
    return folder;
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** The names under which the CNI executable is installed, from the file that both programs use. */
function pluginNames() {
  const text = readFileSync(join(root, 'lib/plugin-names.ts'), 'utf8');
  const list = /PLUGIN_NAMES = \[([^\]]+)\]/.exec(text)?.[1] ?? '';
  return [...list.matchAll(/'([a-z-]+)'/g)].map(([, name]) => name);
}

/** The conditions for publishing. Throws an Error of one line. */
function requireReleasable(image) {
  if (image === undefined) throw new Error('--image REGISTRY/NAME is needed, or --dry-run');
  const git = (...args) => spawnSync('git', args, { cwd: root, encoding: 'utf8' }).stdout.trim();
  if (git('status', '--porcelain') !== '') throw new Error('there are changes that are not committed');
  if (!git('tag', '--points-at', 'HEAD').split('\n').includes(`v${version}`)) {
    throw new Error(`this commit has no tag v${version}: git tag v${version}`);
  }
}

export async function main(values, [what, ...words]) {
  if (what === 'version' && words.length === 1) {
    setVersion(words[0]);
    return spawnSync(process.execPath, [join(root, 'scripts/reference.mjs')], { stdio: 'inherit' }).status ?? 1;
  }
  if (what !== undefined) throw new Error(`expected nothing or version X.Y.Z, got "${[what, ...words].join(' ')}"`);
  const isDry = values['dry-run'] === true;
  if (!isDry) requireReleasable(values.image);
  const folder = await makeRelease({ image: values.image ?? NOWHERE, unreleased: isDry, options: values });
  process.stdout.write(`\n${folder}\n`);
  return isDry ? 0 : pushImage(archive, [`${values.image}:${version}`]);
}
