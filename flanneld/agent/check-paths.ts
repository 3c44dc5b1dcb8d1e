// Every path of the command line, looked at before anything is done: one that cannot be what its flag wants ends the
// start with one line. A trouble that may pass (a full disk, no file descriptor left, a folder of another owner) is left
// to those who try again and show it.

import { closeSync, constants, openSync, readFileSync, rmSync, type Stats, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ConfigError } from '../../lib/errors.ts';
import { makeFolders } from '../../lib/files-node.ts';
import { nodeErrorCode } from '../../lib/node-error-node.ts';
import type { Options } from '../cli/options.ts';

/** What is wrong with the path itself, and stays so. */
const LASTING: ReadonlySet<string | undefined> = new Set([
  'EACCES',
  'EEXIST',
  'EINVAL',
  'EISDIR',
  'ELOOP',
  'ENAMETOOLONG',
  'ENOENT',
  'ENOTDIR',
  'EPERM',
]);

/** A real one has some 200. */
const MAX_SUBNET_ENV_BYTES = 64 * 1024;

type Flag = readonly [name: string, path: string | undefined];

/** Makes the folders that are written to. Throws ConfigError naming flag, path and what is allowed. */
export function checkPaths(options: Options): void {
  const { store, subnetFile, cniConf, cniConfDir, cniBinDir, cniStateDir, netnsDir, netConfigPath } = options;
  const { caFile, certFile, keyFile } = store.kind === 'etcd' ? store.etcd : {};
  const files: Flag[] = [
    ['net-config-path', store.kind === 'etcd' ? undefined : netConfigPath],
    ['cni-conf', cniConf],
    ['kubeconfig-file', store.kind === 'kube' ? store.kube.kubeconfigFile : undefined],
    ['etcd-cafile', caFile],
    ['etcd-certfile', certFile],
    ['etcd-keyfile', keyFile],
    ['subnet-file', subnetFile],
  ];
  const folders: Flag[] = [
    ['cni-state-dir', cniStateDir],
    ['netns-dir', netnsDir],
  ];
  const written: Flag[] = [
    ['subnet-dir', store.kind === 'directory' ? store.subnetDir : undefined],
    ['cni-conf-dir', cniConf === undefined ? undefined : cniConfDir],
    ['cni-bin-dir', cniBinDir],
  ];
  each(files, (path) => expectKind(path, 'a regular file', (stats) => stats.isFile()));
  each([...folders, ...written], (path) => expectKind(path, 'a folder', (stats) => stats.isDirectory()));
  each([['subnet-file', subnetFile]], expectSubnetEnv);
  each([['subnet-file', subnetFile]], (path) => expectWritable(dirname(path)));
  each(written, expectWritable);
}

function each(flags: readonly Flag[], check: (path: string) => void): void {
  for (const [name, path] of flags) {
    if (path === undefined) continue;
    try {
      check(path);
    } catch (error) {
      if (error instanceof WrongPath) throw new ConfigError('flag', `--${name}`, error.message);
      if (!LASTING.has(nodeErrorCode(error))) continue;
      throw new ConfigError('flag', `--${name}`, `cannot use ${JSON.stringify(path)}: ${nodeErrorCode(error)}`);
    }
  }
}

class WrongPath extends Error {}

/** What is not there is made, or missed by whoever reads it. */
function expectKind(path: string, expected: string, isRight: (stats: Stats) => boolean): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || isRight(stats)) return;
  throw new WrongPath(`expected ${expected}, got ${JSON.stringify(path)}, which is ${kindOf(stats)}`);
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a folder';
  if (stats.isFile()) return 'a regular file';
  if (stats.isFIFO()) return 'a pipe';
  if (stats.isSocket()) return 'a socket';
  return 'a device';
}

/** It is replaced as a whole, and a slip of the pen must not cost somebody's /etc/passwd. */
function expectSubnetEnv(path: string): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  const isTooLong = stats.size > MAX_SUBNET_ENV_BYTES;
  const text = isTooLong ? '' : readFileSync(path, 'utf8');
  // A power loss leaves a file of another agent empty, or full of zeros.
  if (!isTooLong && (/^FLANNEL_/m.test(text) || /^[\0\s]*$/.test(text))) return;
  throw new WrongPath(`expected a subnet.env or a free name, got ${JSON.stringify(path)}, which is another file`);
}

/** By making a file there: only the file system knows, and that of /proc would not tell otherwise. */
function expectWritable(folder: string): void {
  makeFolders(folder);
  const probe = join(folder, `.weft-probe.${process.pid}`);
  try {
    closeSync(openSync(probe, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o600));
    rmSync(probe);
  } catch (error) {
    // Another's folder, as kubespray's /opt/cni/bin, is for its owner to open, and no slip of the pen.
    if (nodeErrorCode(error) !== 'EACCES' || statSync(folder).uid === process.getuid?.()) throw error;
  }
}
