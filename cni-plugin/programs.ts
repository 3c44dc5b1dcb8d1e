// The few programs of the node that this executable runs: nft, iptables-restore and iptables-save. They are found by PATH and in the usual
// folders and get their input on stdin; each call is one transaction.

import { S_IFMT, S_IFREG, statPath } from '../lib/sys/file.ts';
import { runCommand } from '../lib/sys/process.ts';
import { SysError } from '../lib/sys/sys-error.ts';
import { failure, goText } from './protocol/error.ts';
import type { Invocation } from './protocol/plugin.ts';

const USUAL_FOLDERS = ['/usr/sbin', '/sbin', '/usr/local/sbin', '/usr/bin', '/bin'];
const DEADLINE_MS = 30_000;
const OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024;
const S_IFLNK = 0o120000;

/** The path of a program; undefined when the node has none of that name. */
export function findProgram(invocation: Invocation, name: string): string | undefined {
  const path = invocation.surroundings.env('PATH') ?? '';
  for (const folder of [...path.split(':'), ...USUAL_FOLDERS]) {
    if (!folder.startsWith('/')) continue;
    const kind = (statPath(invocation.sys, `${folder}/${name}`)?.mode ?? 0) & S_IFMT;
    if (kind === S_IFREG || kind === S_IFLNK) return `${folder}/${name}`;
  }
  return undefined;
}

/** The result of a program that ran to its end. */
export interface ProgramRun {
  readonly ok: boolean;
  readonly stdout: string;
  /** Its last output when it failed. */
  readonly problem: string;
}

/** Runs a program by its path. Throws CniError 999 when it cannot be executed. */
export function runProgram(invocation: Invocation, path: string, args: readonly string[], input: string): ProgramRun {
  const { sys } = invocation;
  try {
    const finished = runCommand(sys, {
      path,
      argv: [path, ...args],
      env: [`PATH=${USUAL_FOLDERS.join(':')}`],
      stdin: sys.arena.encode(input),
      deadlineMs: DEADLINE_MS,
      maxOutputBytes: OUTPUT_LIMIT_BYTES,
    });
    const stderr = ascii(finished.stderr).trim();
    const ending = finished.killed ?? `exit status ${finished.exitCode ?? `signal ${finished.signal}`}`;
    return { ok: finished.exitCode === 0, stdout: ascii(finished.stdout), problem: stderr || ending };
  } catch (thrown) {
    if (!(thrown instanceof SysError)) throw thrown;
    throw failure(`execute ${path}: ${goText(thrown)}`);
  }
}

/** Firewall listings may contain anything; a text that is not ASCII matches nothing of ours. */
function ascii(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte < 0x80 ? String.fromCharCode(byte) : '?';
  return text;
}
