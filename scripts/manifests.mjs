// `node scripts/manifests.mjs`: joins the kustomize base to manifests/weft.yml, the one plain file to apply. The base is what is
// edited; a test compares, so that the two cannot drift apart.

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parse } from 'yaml';

const manifests = fileURLToPath(new URL('../manifests/', import.meta.url));
export const plainFile = join(manifests, 'weft.yml');

const HEAD = `# Weft for a cluster whose podCIDRs lie in 10.244.0.0/16; see README.md for anything else.
# Made by scripts/manifests.mjs from kustomize/base: change it there.
`;

/** The text of weft.yml: the resources of the base in kustomization's order, comments included. */
export function joinManifests() {
  const kustomization = join(manifests, 'kustomize/base/kustomization.yaml');
  const { resources } = parse(readFileSync(kustomization, 'utf8'));
  const texts = resources.map((name) => readFileSync(join(dirname(kustomization), name), 'utf8'));
  return HEAD + texts.map((text) => `---\n${text}`).join('');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) writeFileSync(plainFile, joinManifests());
