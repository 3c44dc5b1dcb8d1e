// The runtime's folders as the runtime sees them: which configuration it uses, whether the executables exist and whose they are, and
// whether the plugins can write their state.

import { accessSync, constants, readdirSync, statfsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { nodeErrorCode } from '../../../lib/node-error-node.ts';
import { readForeignText } from '../../../lib/sys/foreign-file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { Options } from '../../cli/options.ts';
import { CONFLIST_NAME, pluginTypes, withdrawnMark } from '../../cni/conflist.ts';
import { earlierConfigurations } from '../../cni/doubtful-files.ts';
import { type Found, identify } from '../../cni/executables.ts';
import type { FileFacts } from './facts.ts';
import type { Reads } from './reads.ts';

export interface CniFacts {
  readonly confDir: string;
  /** Whether the agent has been told to install a conflist. */
  readonly isInstalledByAgent: boolean;
  /** Our conflist; `wrong` is one that no runtime can use. */
  readonly conflist: FileFacts<string>;
  /** Whether `flanneld withdraw` removed it. */
  readonly isWithdrawn: boolean;
  /** Other configurations that a runtime prefers to ours, with the types of their plugins. */
  readonly earlier: readonly { readonly name: string; readonly types: readonly string[] }[];
  readonly binDir: string;
  /** The needed plugins that have a problem, and which. */
  readonly missing: readonly { readonly name: string; readonly why: string }[];
  /** The project that the executable `flannel` belongs to; undefined when there is none. */
  readonly flannel: Found | undefined;
  /** Folders that cannot be written, and why. */
  readonly unwritable: readonly { readonly folder: string; readonly why: string }[];
}

const LIMIT_BYTES = 1024 * 1024;
/** Most runtimes run `loopback` for every sandbox, whatever the conflist says. This is not known where the agent installs nothing. */
const ALWAYS_NEEDED = ['loopback'];

export function cniFacts(options: Options, sys: Syscalls, reads: Reads): CniFacts {
  const { cniConfDir: confDir, cniStateDir } = options;
  const binDir = options.cniBinDir ?? '/opt/cni/bin';
  const conflist = reads.one('the conflist', () => ourConflist(sys, confDir)) ?? { state: 'missing' };
  const types = conflist.state === 'right' ? typesIn(conflist.value) : [];
  const names = reads.one(`${confDir}`, () => namesIn(confDir)) ?? [];
  return {
    confDir,
    isInstalledByAgent: options.cniConf !== undefined,
    conflist,
    isWithdrawn: withdrawnMark(sys, confDir) !== undefined,
    earlier: earlierConfigurations(names, CONFLIST_NAME).map((name) => ({
      name,
      types: typesIn(textOf(sys, join(confDir, name))),
    })),
    binDir,
    missing:
      conflist.state === 'right'
        ? missingIn(binDir, [...types, ...(options.cniBinDir === undefined ? [] : ALWAYS_NEEDED)])
        : [],
    flannel: reads.one('the executable flannel', () => whose(join(binDir, 'flannel'))),
    unwritable: [cniStateDir, join(cniStateDir, 'networks'), join(cniStateDir, 'flannel')].flatMap(unwritable),
  };
}

function ourConflist(sys: Syscalls, confDir: string): FileFacts<string> {
  const read = readForeignText(sys, join(confDir, CONFLIST_NAME), LIMIT_BYTES);
  if (read === undefined) return { state: 'missing' };
  if (read === 'unreadable') return { state: 'wrong', why: 'is no text' };
  try {
    if (pluginTypes(read.text).includes('flannel')) return { state: 'right', value: read.text };
    return { state: 'wrong', why: 'has no plugin of type flannel' };
  } catch {
    return { state: 'wrong', why: 'is no JSON' };
  }
}

/** Types of the plugins of a list or of a single configuration; none when it cannot be read. */
function typesIn(text: string): string[] {
  try {
    const types = pluginTypes(text);
    const single: unknown = types.length > 0 ? undefined : JSON.parse(text);
    const type = typeof single === 'object' && single !== null && 'type' in single ? single.type : undefined;
    return typeof type === 'string' ? [type] : types;
  } catch {
    return [];
  }
}

function textOf(sys: Syscalls, path: string): string {
  try {
    const read = readForeignText(sys, path, LIMIT_BYTES);
    return typeof read === 'object' ? read.text : '';
  } catch {
    return '';
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if (nodeErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

function missingIn(folder: string, names: readonly string[]): CniFacts['missing'] {
  return [...new Set(names)].flatMap((name) => {
    try {
      const path = join(folder, name);
      if (!statSync(path).isFile()) return [{ name, why: 'is no file' }];
      accessSync(path, constants.X_OK);
      return [];
    } catch (error) {
      const code = nodeErrorCode(error) ?? 'error';
      return [{ name, why: code === 'ENOENT' ? 'is missing' : code === 'EACCES' ? 'is not executable' : code }];
    }
  });
}

function whose(path: string): Found | undefined {
  const found = identify(path, new Uint8Array());
  return found === 'nothing' ? undefined : found;
}

/** The folder, or the nearest one above it that exists. */
function unwritable(folder: string): CniFacts['unwritable'] {
  try {
    accessSync(folder, constants.W_OK);
    const { bavail, blocks, ffree, files } = statfsSync(folder);
    if (blocks > 0 && bavail === 0) return [{ folder, why: 'no space left on device' }];
    return files > 0 && ffree === 0 ? [{ folder, why: 'no inode left on device' }] : [];
  } catch (error) {
    const code = nodeErrorCode(error) ?? 'error';
    // The plugins make a missing folder, so the folder above it matters, which is reported as a folder of its own.
    if (code === 'ENOENT') return folder === dirname(folder) ? [] : unwritable(dirname(folder));
    return [{ folder, why: code === 'EROFS' ? 'read-only file system' : code }];
  }
}
