// The published programs a mixed cluster is made of, and where they are looked for.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findServer } from '../../support/background.ts';
import { apiserverNeeded, hasKubeApiserver } from '../../support/kube-apiserver.ts';

/** flannel's chain as its images bring it, portmap and loopback included. */
export const CHAIN = ['flannel', 'bridge', 'host-local', 'portmap', 'loopback'] as const;
const PLUGIN_FOLDERS = ['/opt/cni/bin', '/usr/lib/cni'];

/** flannel's agent, looked for as the servers are; ours under that name is none. */
export function findFlanneld(): string | undefined {
  const file = findServer('flanneld');
  return file === undefined || isOurs(file) ? undefined : file;
}

function isOurs(file: string): boolean {
  return /weft/i.test(versionOf(file));
}

/** What a flanneld says of its version; flannel's does on stderr. */
export function versionOf(file: string): string {
  return execFileSync('/bin/sh', ['-c', '"$0" --version 2>&1', file], { encoding: 'utf8' }).trim();
}

/** A path for each of CHAIN, all in one folder; undefined when no folder has them all. */
export function findChain(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const folders = [...(env['CNI_PATH'] ?? '').split(':').filter((folder) => folder !== ''), ...PLUGIN_FOLDERS];
  return folders.find((folder) => CHAIN.every((name) => existsSync(join(folder, name))));
}

/** What of all this is missing, in words; undefined when nothing is. */
export function missingPrograms(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const missing: string[] = [];
  if (findFlanneld() === undefined) missing.push('flannel’s flanneld (in KUBEBUILDER_ASSETS, then on PATH)');
  if (!hasKubeApiserver()) missing.push(apiserverNeeded);
  if (findChain(env) === undefined) {
    missing.push(`${CHAIN.join(', ')} of flannel together (in CNI_PATH, then ${PLUGIN_FOLDERS.join(', ')})`);
  }
  return missing.length === 0 ? undefined : missing.join('; ');
}
