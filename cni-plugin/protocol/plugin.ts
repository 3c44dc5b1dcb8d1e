// What a plugin is and how it is called: the interface between the protocol and the plugins.

import type { JsonObject } from '../../lib/json.ts';
import { NotNetnsError } from '../../lib/sys/netns.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { CniEnvironment } from './env.ts';
import { failure, goText } from './error.ts';
import type { Fields } from './fields.ts';
import type { Result } from './result.ts';

/** The process around the plugin, as main() and tests provide it. */
export interface Surroundings {
  readonly sys: Syscalls;
  /** Everything on stdin; throws when it cannot be read or exceeds the limit. */
  readonly stdin: () => Uint8Array;
  /** A variable's value, or undefined. */
  readonly env: (name: string) => string | undefined;
  /** Every variable as `NAME=value`, for delegates. */
  readonly environment: () => readonly string[];
}

/** The pod's network namespace: opened first, so that nothing is made when it cannot be opened. */
export type NetnsHandle = { readonly fd: number } | { readonly problem: unknown };

/** One operation, with its environment and configuration checked as far as the protocol defines them. */
export interface Invocation extends CniEnvironment {
  readonly surroundings: Surroundings;
  readonly sys: Syscalls;
  /** The configuration's cniVersion; `0.1.0` when it has none. */
  readonly version: string;
  /** The network's name. */
  readonly name: string;
  readonly config: JsonObject;
  /** The same configuration, for reading its keys. */
  readonly root: Fields;
  /** Absent when CNI_NETNS is empty. */
  readonly netnsHandle: NetnsHandle | undefined;
  /** Adds a line to stderr, which runtimes keep as a log of the operation. */
  readonly note: (line: string) => void;
  /** Keeps a locked file open until the operation ends: its lock shows others that an ADD is running. */
  readonly holdLock: (fd: number) => void;
}

/** A CNI plugin. If `check`, `status` or `gc` is absent, the command succeeds without doing anything, as in the Go plugins. */
export interface Plugin {
  readonly name: string;
  readonly supported: readonly string[];
  add(invocation: Invocation): Result;
  del(invocation: Invocation): void;
  check?(invocation: Invocation): void;
  status?(invocation: Invocation): void;
  gc?(invocation: Invocation): void;
}

/** The netns' descriptor. Throws CniError 999 with Go's texts when the path is missing or is not a namespace. */
export function requireNetns(invocation: Invocation): number {
  const handle = invocation.netnsHandle;
  if (handle !== undefined && 'fd' in handle) return handle.fd;
  throw failure(
    `failed to open netns ${JSON.stringify(invocation.netns)}: ${netnsProblem(invocation.netns, handle?.problem)}`,
  );
}

/** Why a netns could not be opened, in the words of Go's pkg/ns. */
function netnsProblem(path: string, problem: unknown): string {
  const quoted = JSON.stringify(path);
  if (problem instanceof NotNetnsError && problem.isOtherKind) return `${quoted} is a namespace of another kind`;
  if (problem instanceof NotNetnsError) return `unknown FS magic on ${quoted}: ${problem.magic.toString(16)}`;
  return `failed to Statfs ${quoted}: ${goText(problem)}`;
}
