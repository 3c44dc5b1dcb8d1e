// Images without a registry or a build: programs of this machine with the libraries they are linked with, and dist/ where
// the Dockerfile puts it. What is in the agent's real one is proven by its own tests.

import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, realpathSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { builtAgent, builtPlugins, requireBuilt } from '../../lab/programs.ts';
import { linkedLibraries } from '../../support/linked-libraries.ts';
import { packImage, putBusybox } from '../containerd/image.ts';

const APP_FOLDER = 'opt/weft';
/** Where iptables of Debian's looks for its matches and targets, below its library folder. */
const XTABLES_FOLDER = 'xtables';

/** The agent's, to `file`. Needs a build. */
export function writeAgentImage(file: string, image: string): void {
  packImage(file, fullName(image), (root) => {
    putBusybox(root);
    // The agent's first line names /usr/bin/env.
    mkdirSync(join(root, 'usr'));
    symlinkSync('../bin', join(root, 'usr/bin'));
    for (const program of [process.execPath, onPath('nft')]) putProgram(root, program);
    putIptables(root);
    putAgent(join(root, APP_FOLDER));
  });
}

/** One for all containers of flannel's manifest: its agent, its plugin, and iptables. */
export function writeFlannelImage(file: string, image: string, agent: string, plugin: string): void {
  packImage(file, fullName(image), (root) => {
    putBusybox(root);
    putProgram(root, agent, 'opt/bin');
    copyFileSync(plugin, join(root, 'flannel'));
    chmodSync(join(root, 'flannel'), 0o755);
    putIptables(root);
  });
}

/** As runtimes look for what manifests name. */
function fullName(image: string): string {
  return `docker.io/library/${image}`;
}

function onPath(name: string): string {
  return execFileSync('/bin/sh', ['-c', 'command -v "$0"', name], { encoding: 'utf8' }).trim();
}

function libraryFolder(program: string): string {
  return dirname(linkedLibraries(program).find((library) => library.includes('/libc.so')) ?? '');
}

/** A program, and what it is linked with where the loader looks for it. */
function putProgram(root: string, program: string, folder = 'bin'): void {
  mkdirSync(join(root, folder), { recursive: true });
  copyFileSync(realpathSync(program), join(root, folder, basename(program)));
  for (const library of linkedLibraries(program)) {
    const target = join(root, library);
    if (existsSync(target)) continue;
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(realpathSync(library), target);
  }
}

/** One program under all its names, and the folder of its matches and targets. */
function putIptables(root: string): void {
  const iptables = realpathSync(onPath('iptables'));
  putProgram(root, iptables);
  for (const name of ['iptables', 'ip6tables'])
    for (const tool of ['', '-save', '-restore']) symlinkSync(basename(iptables), join(root, `bin/${name}${tool}`));
  const folder = join(libraryFolder(iptables), XTABLES_FOLDER);
  // Copied links would lead to where they are here.
  cpSync(folder, join(root, 'usr', folder.replace(/^\/usr/, '')), { recursive: true, dereference: true });
}

function putAgent(folder: string): void {
  const dist = dirname(requireBuilt(builtAgent));
  for (const name of ['flanneld', 'koffi.node', 'deadline.so', 'package.json'])
    cpSync(join(dist, name), join(folder, name));
  cpSync(requireBuilt(builtPlugins), join(folder, 'cni'), { recursive: true });
}
