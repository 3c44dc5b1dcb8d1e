// `node scripts/manifests.mjs` makes manifests/weft.yml, the one plain file to apply, from the kustomize base, and
// manifests/weft-policy.yml from the component own-node-policy. People edit only the kustomize files; a test checks that the plain
// files agree with them.

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parse } from 'yaml';

const manifests = fileURLToPath(new URL('../manifests/', import.meta.url));

/** The plain files: the folder of kustomize/ from which each is made, and the text it begins with. */
export const plainFiles = {
  'weft.yml': {
    folder: 'base',
    head: 'Weft for a cluster whose podCIDRs lie in 10.244.0.0/16; see README.md for anything else.',
  },
  'weft-policy.yml': {
    folder: 'components/own-node-policy',
    head: 'Beside weft.yml, for Kubernetes 1.30 and later: a node’s token changes its own Node and nothing else.',
  },
};

/** The text of a plain file: the resources of its folder in kustomization's order, comments included. */
export function joinManifests(name = 'weft.yml') {
  const { folder, head } = plainFiles[name];
  const kustomization = join(manifests, 'kustomize', folder, 'kustomization.yaml');
  const { resources } = parse(readFileSync(kustomization, 'utf8'));
  const texts = resources.map((name) => readFileSync(join(dirname(kustomization), name), 'utf8'));
  const from = `# ${head}\n# Made by scripts/manifests.mjs from kustomize/${folder}: change it there.\n`;
  return from + texts.map((text) => `---\n${text}`).join('');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const name of Object.keys(plainFiles)) writeFileSync(join(manifests, name), joinManifests(name));
}
