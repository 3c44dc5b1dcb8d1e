// Makes images without a registry and without a build: they contain programs of this machine with the libraries they are linked
// with, and dist/ at the place where the Dockerfile puts it. The agent's real image has tests of its own.

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  symlinkSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { builtAgent, builtPlugins, requireBuilt } from '../../lab/programs.ts';
import { linkedLibraries } from '../../support/linked-libraries.ts';
import { packImage, putBusybox } from '../containerd/image.ts';

const APP_FOLDER = 'opt/weft';
/** The folder, inside its library folder, in which Debian's iptables looks for its matches and targets. */
const XTABLES_FOLDER = 'xtables';

/** Writes the agent's image to `file`. Needs a build. */
export function writeAgentImage(file: string, image: string): void {
  packImage(file, fullName(image), (root) => {
    putBusybox(root);
    // This is needed because the first line of the agent's file names /usr/bin/env.
    mkdirSync(join(root, 'usr'));
    symlinkSync('../bin', join(root, 'usr/bin'));
    for (const program of [process.execPath, onPath('nft')]) putProgram(root, program);
    putIptables(root);
    putAgent(join(root, APP_FOLDER));
  });
}

/** Writes one image for all containers of flannel's manifest. It contains flannel's agent and plugin, and iptables. */
export function writeFlannelImage(file: string, image: string, agent: string, plugin: string): void {
  packImage(file, fullName(image), (root) => {
    putBusybox(root);
    putProgram(root, agent, 'opt/bin');
    copyFileSync(plugin, join(root, 'flannel'));
    chmodSync(join(root, 'flannel'), 0o755);
    putIptables(root);
  });
}

/** Returns the name of an image in the form in which runtimes look for it. */
function fullName(image: string): string {
  return `docker.io/library/${image}`;
}

function onPath(name: string): string {
  return execFileSync('/bin/sh', ['-c', 'command -v "$0"', name], { encoding: 'utf8' }).trim();
}

function libraryFolder(program: string): string {
  return dirname(linkedLibraries(program).find((library) => library.includes('/libc.so')) ?? '');
}

/** Copies a program, and copies the libraries it is linked with to the places where the loader looks for them. */
export function putProgram(root: string, program: string, folder = 'bin'): void {
  mkdirSync(join(root, folder), { recursive: true });
  copyFileSync(realpathSync(program), join(root, folder, basename(program)));
  for (const library of linkedLibraries(program)) {
    const target = join(root, library);
    if (existsSync(target)) continue;
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(realpathSync(library), target);
  }
}

/** Copies iptables, which is one program with several names, and the folder of its matches and targets. */
function putIptables(root: string): void {
  const iptables = realpathSync(onPath('iptables'));
  putProgram(root, iptables);
  for (const name of ['iptables', 'ip6tables'])
    for (const tool of ['', '-save', '-restore']) symlinkSync(basename(iptables), join(root, `bin/${name}${tool}`));
  const folder = join(libraryFolder(iptables), XTABLES_FOLDER);
  // Links are resolved, because a copied link would lead to a place that the image does not have.
  cpSync(folder, join(root, 'usr', folder.replace(/^\/usr/, '')), { recursive: true, dereference: true });
}

function putAgent(folder: string): void {
  const dist = dirname(requireBuilt(builtAgent));
  const names = readdirSync(dist).filter((name) => name.startsWith('flanneld'));
  for (const name of [...names, 'koffi.node', 'deadline.so', 'package.json'])
    cpSync(join(dist, name), join(folder, name));
  cpSync(requireBuilt(builtPlugins), join(folder, 'cni'), { recursive: true });
}
