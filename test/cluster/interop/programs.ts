// Finds the published programs that a mixed cluster consists of.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findServer } from '../../support/background.ts';
import { apiserverNeeded, hasKubeApiserver } from '../../support/kube-apiserver.ts';

/** The plugins of flannel's chain that its images contain, including portmap and loopback. */
export const CHAIN = ['flannel', 'bridge', 'host-local', 'portmap', 'loopback'] as const;
const PLUGIN_FOLDERS = ['/opt/cni/bin', '/usr/lib/cni'];

/** flannel's agent is looked for in the same places as the servers. Our own agent, which has the same name, does not count. */
export function findFlanneld(): string | undefined {
  const file = findServer('flanneld');
  return file === undefined || isOurs(file) ? undefined : file;
}

function isOurs(file: string): boolean {
  return /weft/i.test(versionOf(file));
}

/** Returns what a flanneld prints about its version. flannel prints it to stderr. */
export function versionOf(file: string): string {
  return execFileSync('/bin/sh', ['-c', '"$0" --version 2>&1', file], { encoding: 'utf8' }).trim();
}

/** Returns the path of each plugin of CHAIN, all in one folder; undefined when no folder has them all. */
export function findChain(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const folders = [...(env['CNI_PATH'] ?? '').split(':').filter((folder) => folder !== ''), ...PLUGIN_FOLDERS];
  return folders.find((folder) => CHAIN.every((name) => existsSync(join(folder, name))));
}

/** Says in words which of these programs are missing; undefined when none is. */
export function missingPrograms(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const missing: string[] = [];
  if (findFlanneld() === undefined) missing.push('flannel’s flanneld (in KUBEBUILDER_ASSETS, then on PATH)');
  if (!hasKubeApiserver()) missing.push(apiserverNeeded);
  if (findChain(env) === undefined) {
    missing.push(`${CHAIN.join(', ')} of flannel together (in CNI_PATH, then ${PLUGIN_FOLDERS.join(', ')})`);
  }
  return missing.length === 0 ? undefined : missing.join('; ');
}
