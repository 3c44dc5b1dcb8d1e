// The version stands in package.json. Every file that has to contain it, too, gets it from `npm run release -- version X.Y.Z`; a test
// holds the files to it.

import { readFileSync, writeFileSync } from 'node:fs';
import { joinManifests, plainFiles } from './manifests.mjs';

const root = new URL('../', import.meta.url);
/** A version by semver.org without build metadata, which a container's tag cannot have. */
const VERSION = String.raw`\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?`;

/** Where the version stands: the file, and the text before it. */
const PLACES = [
  ['lib/version.ts', 'export const version = `'],
  ['manifests/Dockerfile', 'weft:'],
  ['manifests/README.md', 'weft:'],
  ['manifests/README.md', 'flannel.image.tag='],
  ['manifests/cleanup.yml', 'image: weft:'],
  ['manifests/kind/cluster.yml', 'weft:'],
  ['manifests/kustomize/base/daemonset.yml', 'image: weft:'],
  ['manifests/kustomize/components/fast-path/daemonset.yml', 'image: weft:'],
  ['manifests/helm/weft/Chart.yaml', 'version: '],
  ['manifests/helm/weft/Chart.yaml', 'appVersion: '],
  ['manifests/helm/weft/values.yaml', 'tag: '],
];

/** The files with their version replaced: a map from the name of each to its text. */
export function withVersion(version, read = (name) => readFileSync(new URL(name, root), 'utf8')) {
  if (!new RegExp(`^${VERSION}$`).test(version)) throw new Error(`version: expected one like 1.2.3, got "${version}"`);
  const texts = new Map();
  for (const [name, before] of PLACES) {
    const text = texts.get(name) ?? read(name);
    // Longer words that end in the same, as appVersion in version, are other places.
    const place = new RegExp(`((?<![A-Za-z])${before.replaceAll(/[.`]/g, '\\$&')})${VERSION}`, 'gm');
    if (!place.test(text)) throw new Error(`version: ${name}: no version after "${before}"`);
    texts.set(
      name,
      text.replaceAll(place, (_, kept) => `${kept}${version}`),
    );
  }
  return texts;
}

/** Makes `version` that of this repository: package.json and its lock, and every file that has to contain it. */
export function setVersion(version) {
  const texts = withVersion(version);
  for (const name of ['package.json', 'package-lock.json']) {
    const about = JSON.parse(readFileSync(new URL(name, root), 'utf8'));
    about.version = version;
    if (about.packages !== undefined) about.packages[''].version = version;
    texts.set(name, `${JSON.stringify(about, null, 2)}\n`);
  }
  for (const [name, text] of texts) writeFileSync(new URL(name, root), text);
  for (const name of Object.keys(plainFiles)) writeFileSync(new URL(`manifests/${name}`, root), joinManifests(name));
}
