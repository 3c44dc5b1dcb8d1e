// `npm run bench -- kind`: the bench of a cluster on a kind cluster with three nodes: with Weft, then on a fresh cluster with flannel from
// its published manifest, if that can be pulled. Both clusters are deleted again. It needs kind, docker or podman, and kubectl.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { archive, NAME } from './image.mjs';
import { isOnPath } from './setup.mjs';

const repository = fileURLToPath(new URL('..', import.meta.url));
const CLUSTER = 'weft-bench';
const CONTEXT = `kind-${CLUSTER}`;
const FLANNEL = 'https://github.com/flannel-io/flannel/releases/latest/download/kube-flannel.yml';
const RUNTIMES = ['docker', 'podman'];
const PLUGIN_FOLDERS = ['/opt/cni/bin', '/usr/lib/cni'];
/** The needs, each with the programs of which one is enough. */
const NEEDS = [['kind'], RUNTIMES, ['kubectl']];

/** A line for each need that no program in PATH meets. */
export function missingForKind(has = isOnPath, path = process.env.PATH) {
  return NEEDS.filter((names) => !names.some((name) => has(name))).map(
    (names) => `no ${names.join(' or ')} in PATH (${path})`,
  );
}

/**
 * The reference plugin `bridge`, which flannel needs and kind's nodes lack; undefined where there is none. It is searched for in the
 * folders of CNI_PATH, then where distributions have it.
 */
export function findBridge(cniPath = process.env.CNI_PATH ?? '', has = existsSync) {
  return [...cniPath.split(':').filter((folder) => folder !== ''), ...PLUGIN_FOLDERS]
    .map((folder) => join(folder, 'bridge'))
    .find((file) => has(file));
}

/** Runs a program and shows its output. Throws an Error of one line when it fails. */
function run(program, ...args) {
  const { status, error } = spawnSync(program, args, { cwd: repository, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(`${program} ${args.slice(0, 2).join(' ')}: ${error?.message ?? `exit ${status}`}`);
}

const npm = (...args) => run(process.execPath, 'scripts/npm-script.mjs', ...args);

/** Measures one fresh cluster whose network `install` makes, and deletes it whatever happens. */
function measureFresh(out, options, install) {
  run('kind', 'create', 'cluster', '--name', CLUSTER, '--config', 'manifests/kind/cluster.yml');
  try {
    npm('image', 'load', 'kind', CLUSTER);
    install();
    run('kubectl', `--context=${CONTEXT}`, 'wait', '--for=condition=Ready', 'node', '--all', '--timeout=300s');
    npm('bench', 'cluster', `--context=${CONTEXT}`, `--image=${NAME}`, `--out=${out}`, ...options);
  } finally {
    run('kind', 'delete', 'cluster', '--name', CLUSTER);
  }
}

/** Copies the plugin into every node, by the program that runs them. */
function putBridge(bridge) {
  const { stdout } = spawnSync('kind', ['get', 'nodes', '--name', CLUSTER], { encoding: 'utf8' });
  const runtime = RUNTIMES.find((name) => isOnPath(name));
  for (const node of stdout.split('\n').filter(Boolean)) run(runtime, 'cp', bridge, `${node}:/opt/cni/bin/bridge`);
}

function pullFlannel(file) {
  return spawnSync('curl', ['-fsSL', '--output', file, FLANNEL], { stdio: ['ignore', 2, 2] }).status === 0;
}

export function main(options) {
  const missing = missingForKind();
  if (missing.length > 0) throw new Error(`kind: ${missing.join('; ')}`);
  if (!existsSync(archive)) npm('image');
  const out = join(repository, 'bench/results/local', `kind-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`);
  const work = mkdtempSync(join(tmpdir(), 'weft-kind-'));
  const [weft, flannel] = ['weft', 'flannel'].map((name) => join(out, name));
  try {
    measureFresh(weft, options, () => npm('deploy', `--context=${CONTEXT}`, `--image=${NAME}`));
    const bridge = findBridge();
    if (bridge === undefined) {
      const where = ['the folders of CNI_PATH', ...PLUGIN_FOLDERS].join(', ');
      process.stderr.write(
        `kind: no bridge in ${where}; flannel's pods need that plugin, so flannel was not measured\n`,
      );
      return 0;
    }
    const manifest = join(work, 'kube-flannel.yml');
    if (!pullFlannel(manifest)) {
      process.stderr.write(`kind: ${FLANNEL} cannot be fetched, so flannel was not measured\n`);
      return 0;
    }
    measureFresh(flannel, options, () => {
      putBridge(bridge);
      run('kubectl', `--context=${CONTEXT}`, 'apply', '--filename', manifest);
    });
    npm('bench', 'compare', join(flannel, 'result.json'), join(weft, 'result.json'));
    return 0;
  } finally {
    rmSync(work, { recursive: true });
  }
}
