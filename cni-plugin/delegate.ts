// Executes another plugin: finds it in CNI_PATH, writes the configuration to its stdin, and reads its answer as the specification says
// (SPEC.md 1.1.0 "Plugin Delegation", libcni pkg/invoke).

import { errorText } from '../lib/errors.ts';
import { field, isJsonObject, type JsonObject, type JsonValue, parseJson, stringifyJson } from '../lib/json.ts';
import { AT_FDCWD, S_IFMT, S_IFREG } from '../lib/sys/file.ts';
import { type Finished, runCommand } from '../lib/sys/process.ts';
import { SysError } from '../lib/sys/sys-error.ts';
import type { Syscalls } from '../lib/sys/syscalls.ts';
import type { Command } from './protocol/env.ts';
import { type CniError, DelegateError, failure, goText } from './protocol/error.ts';
import type { Invocation } from './protocol/plugin.ts';
import { emptyDns, type Result } from './protocol/result.ts';
import { parseResult } from './protocol/result-parse.ts';

/** The kubelet gives up a pod's set-up after two minutes, so a delegate that runs longer is useless. */
const DEADLINE_MS = 110_000;
/** The most that a delegate may write to stdout and to stderr, each. */
const OUTPUT_LIMIT_BYTES = 4 * 1024 * 1024;

/** A file's type, device and inode, links followed; undefined when there is none. */
function fileIdentity(sys: Syscalls, path: string): { readonly mode: number; readonly id: string } | undefined {
  return sys.arena.scope(() => {
    // struct statx: u16 mode at 28, u64 ino at 32, u32 dev_major at 136, u32 dev_minor at 140
    const status = sys.arena.alloc(256);
    const value = sys.call(sys.nr.statx, AT_FDCWD, sys.arena.cstring(path).address, 0, 0x7ff, status.address);
    if (value < 0) return undefined;
    return { mode: status.u16(28), id: `${status.u32(136)}:${status.u32(140)}:${status.u64(32)}` };
  });
}

/** The first regular file of that name in CNI_PATH. Throws CniError 999 when there is none. */
export function findPlugin(invocation: Invocation, type: string): string {
  if (type === '') throw failure('no plugin is named: type is empty');
  if (type.includes('/')) throw failure(`type: expected the name of an executable, got ${JSON.stringify(type)}`);
  const folders = invocation.path.split(':').filter((folder) => folder !== '');
  if (folders.length === 0) throw failure('CNI_PATH names no folder');
  for (const folder of folders) {
    const path = `${folder}/${type}`;
    const found = fileIdentity(invocation.sys, path);
    if (found !== undefined && (found.mode & S_IFMT) === S_IFREG) return path;
  }
  throw failure(`failed to find plugin ${JSON.stringify(type)} in path [${folders.join(' ')}]`);
}

/** Whether CNI_PATH has a plugin of that name that is another program than this one. */
export function hasForeignPlugin(invocation: Invocation, type: string): boolean {
  try {
    const path = findPlugin(invocation, type);
    return fileIdentity(invocation.sys, path)?.id !== fileIdentity(invocation.sys, '/proc/self/exe')?.id;
  } catch {
    return false;
  }
}

function environmentFor(invocation: Invocation, command: Command): string[] {
  const inherited = invocation.surroundings.environment().filter((entry) => !entry.startsWith('CNI_COMMAND='));
  return [...inherited, `CNI_COMMAND=${command}`];
}

/** Runs a plugin and returns what it printed. Throws its own error object as DelegateError, or 999. */
export function executePlugin(invocation: Invocation, type: string, command: Command, config: JsonObject): string {
  const { sys } = invocation;
  const path = findPlugin(invocation, type);
  let finished: Finished;
  try {
    finished = runCommand(sys, {
      path,
      argv: [path],
      env: environmentFor(invocation, command),
      stdin: sys.arena.encode(stringifyJson(config)),
      deadlineMs: DEADLINE_MS,
      maxOutputBytes: OUTPUT_LIMIT_BYTES,
    });
  } catch (thrown) {
    if (!(thrown instanceof SysError)) throw thrown;
    throw failure(`cannot execute ${path}: ${goText(thrown)}`);
  }
  const stdout = decodeLoosely(sys, finished.stdout);
  const stderr = decodeLoosely(sys, finished.stderr);
  if (finished.exitCode === 0) {
    if (stderr !== '') invocation.note(stderr.trimEnd());
    return stdout;
  }
  throw delegateError(type, finished, stdout, stderr);
}

function decodeLoosely(sys: Syscalls, bytes: Uint8Array): string {
  try {
    return sys.arena.decode(bytes);
  } catch {
    let text = '';
    for (const byte of bytes) text += byte < 0x80 ? String.fromCharCode(byte) : '\ufffd';
    return text;
  }
}

function ending(finished: Finished): string {
  if (finished.killed === 'deadline') return `killed after ${DEADLINE_MS / 1000} s`;
  if (finished.killed === 'output') return `killed after ${OUTPUT_LIMIT_BYTES} bytes of output`;
  return finished.signal === undefined ? `exit status ${finished.exitCode}` : `signal ${finished.signal}`;
}

function delegateError(type: string, finished: Finished, stdout: string, stderr: string): CniError {
  if (stdout.trim() === '') {
    if (stderr === '') return failure(`plugin ${type} failed without a word: ${ending(finished)}`);
    return failure(`plugin ${type} failed: ${JSON.stringify(stderr)}`);
  }
  let value: JsonValue;
  try {
    value = parseJson(stdout);
  } catch (thrown) {
    const shown = JSON.stringify(stdout);
    return failure(`plugin ${type} failed and said what is no JSON, ${shown}: ${errorText(thrown)}`);
  }
  if (!isJsonObject(value))
    return failure(`plugin ${type} failed and said what is no error object: ${JSON.stringify(stdout)}`);
  const text = (key: string): string => {
    const found = field(value, key);
    return typeof found === 'string' ? found : '';
  };
  const code = field(value, 'code');
  return new DelegateError(typeof code === 'number' ? code : 0, text('msg'), text('details'));
}

/** The result that a plugin printed on ADD; `null` and no output count as an empty one. Throws CniError 999. */
export function readDelegateResult(text: string, version: string): Result {
  const value = text.trim() === '' ? null : parseJson(text);
  if (value === null) return { interfaces: [], ips: [], routes: [], dns: emptyDns() };
  if (!isJsonObject(value)) throw failure(`the plugin's result is no object: ${JSON.stringify(text.slice(0, 200))}`);
  return parseResult(value, version);
}
