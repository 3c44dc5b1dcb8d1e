// Checks every path given by a flag before the agent does anything. A path that cannot serve its flag ends the start with
// one line. Trouble that may pass (a full disk, no free file descriptor, a folder of another owner) does not: the code
// that uses the path tries again and reports it.

import { randomUUID } from 'node:crypto';
import { closeSync, constants, openSync, readFileSync, rmSync, type Stats, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ConfigError } from '../../lib/errors.ts';
import { makeFolders } from '../../lib/files-node.ts';
import { nodeErrorCode } from '../../lib/node-error-node.ts';
import type { Options } from '../cli/options.ts';

/** Errors that mean the path itself is wrong, so that trying again cannot help. */
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

/** A real subnet.env has about 200 bytes. */
const MAX_SUBNET_ENV_BYTES = 64 * 1024;

type Flag = readonly [name: string, path: string | undefined];

/** Also makes the folders that the agent writes to. Throws ConfigError naming flag, path and what is allowed. */
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

/** A missing path is no error here: the agent makes it, or the code that reads it reports it. */
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

/** The agent replaces this file as a whole, so a mistyped flag must not destroy another file such as /etc/passwd. */
function expectSubnetEnv(path: string): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  const isTooLong = stats.size > MAX_SUBNET_ENV_BYTES;
  const text = isTooLong ? '' : readFileSync(path, 'utf8');
  // After a power loss a subnet.env that was just written may be empty or full of zeros.
  if (!isTooLong && (/^FLANNEL_/m.test(text) || /^[\0\s]*$/.test(text))) return;
  throw new WrongPath(`expected a subnet.env or a free name, got ${JSON.stringify(path)}, which is another file`);
}

/** Makes a file there to find out: permission bits do not show it (/proc looks writable and is not). */
function expectWritable(folder: string): void {
  makeFolders(folder);
  // A process id is not enough: agents that share the folder run in containers, where all may have the same.
  const probe = join(folder, `.weft-probe.${randomUUID()}`);
  try {
    closeSync(openSync(probe, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o600));
    rmSync(probe);
  } catch (error) {
    // A folder of another owner, such as kubespray's /opt/cni/bin, is not a mistyped flag: its owner has to allow writing.
    if (nodeErrorCode(error) !== 'EACCES' || statSync(folder).uid === process.getuid?.()) throw error;
  }
}
