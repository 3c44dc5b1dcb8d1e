// Decides who made each executable in the runtime's CNI folder, and what to do with it. Another vendor's file is replaced only when
// --cni-bin-replace names it; then it is kept under another name, so that a clean-up can restore it.

import { closeSync, lstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { OpError } from '../../lib/errors.ts';
import { nodeErrorCode } from '../../lib/node-error-node.ts';
import { PLUGIN_MARK } from '../../lib/plugin-mark.ts';
import { PLUGIN_NAMES, type PluginName } from '../../lib/plugin-names.ts';

/** What was found: `same` is our executable byte for byte, `ours` another version of it, `go` built from containernetworking's code. */
export type Found = 'nothing' | 'same' | 'ours' | 'go' | 'unknown';
export type Step = 'keep' | 'install' | 'update' | 'replace' | 'leave';

export interface PlannedExecutable {
  readonly name: PluginName;
  readonly found: Found;
  readonly step: Step;
}

/** This text is in every executable built with CNI's Go skeleton: the reference plugins and flannel's own. */
const GO_MARK = 'github.com/containernetworking/';
const CHUNK_BYTES = 256 * 1024;

/** What to do under every name, given what is there and which names of others may be replaced. */
export function planExecutables(
  found: (name: PluginName) => Found,
  replaceable: ReadonlySet<PluginName>,
): PlannedExecutable[] {
  return PLUGIN_NAMES.map((name) => {
    const what = found(name);
    return { name, found: what, step: stepFor(what, replaceable.has(name)) };
  });
}

function stepFor(found: Found, replaceable: boolean): Step {
  switch (found) {
    case 'nothing':
      return 'install';
    case 'same':
      return 'keep';
    case 'ours':
      return 'update';
    default:
      return replaceable ? 'replace' : 'leave';
  }
}

/** Who made the file at `path`, compared with `ours`, the executable to install. Throws OpError. */
export function identify(path: string, ours: Uint8Array): Found {
  try {
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return 'nothing';
    const status = statSync(path, { throwIfNoEntry: false });
    // It is a directory, or a link that leads out of the mounted folder; neither is ours.
    if (status === undefined || !status.isFile()) return 'unknown';
    if (status.size === ours.length && readFileSync(path).equals(ours)) return 'same';
    return marked(path);
  } catch (error) {
    throw installError('read', path, error);
  }
}

/** Looks for the marks of known vendors. Reads in chunks, because an executable may have a hundred megabytes. */
function marked(path: string): Found {
  const overlap = GO_MARK.length;
  const buffer = Buffer.alloc(overlap + CHUNK_BYTES);
  const fd = openSync(path, 'r');
  try {
    let goes = false;
    for (;;) {
      const count = readSync(fd, buffer, overlap, CHUNK_BYTES, null);
      if (count === 0) return goes ? 'go' : 'unknown';
      const seen = buffer.subarray(0, overlap + count);
      if (seen.includes(PLUGIN_MARK)) return 'ours';
      goes ||= seen.includes(GO_MARK);
      buffer.copy(buffer, 0, count, overlap + count);
    }
  } finally {
    closeSync(fd);
  }
}

export function installError(op: string, path: string, error: unknown): OpError {
  const code = nodeErrorCode(error) ?? 'failed';
  return new OpError({ subsystem: 'cni', op, object: path, code, cause: error });
}
