// Makes one plugin call as a runtime does and times it: configuration on stdin, stdout read to its end, then wait4. Imports only
// what runs on QuickJS. It does not use runCommand of lib/sys, which sleeps between its checks whether the child has ended.

import { monotonicMs } from '../../lib/sys/clock.ts';
import { closeFd, O_CREAT, O_RDWR, O_TRUNC, openFile } from '../../lib/sys/file.ts';
import { check, uninterrupted } from '../../lib/sys/sys-error.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { type Attachment, type Command, netnsPath, type Variant } from './plan.ts';

const O_CLOEXEC = 0o2000000;
const SIGPIPE = 13;
/** Makes the parent wait until the child has called execve, as vfork(2) does, which every runtime uses. */
const CLONE_VFORK = 0x4000;
const SIGCHLD = 17;
const OUTPUT_BYTES = 64 * 1024;
/** How many characters of a failed call's output are shown. */
const SHOWN = 300;

export interface Call {
  readonly us: number;
  /** What the plugin printed when it failed. */
  readonly failure: string | undefined;
}

/** Calls a plugin in the current network namespace. */
export function callPlugin(
  sys: Syscalls,
  scratch: string,
  variant: Variant,
  command: Command,
  attachment: Attachment,
): Call {
  return sys.arena.scope(() => {
    const errors = openFile(sys, `${scratch}/stderr`, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600);
    try {
      const { us, status, output } = timed(sys, variant, environment(scratch, variant, command, attachment), errors);
      const wellSaid = command === 'DEL' || output.includes('"ips"');
      if (status === 0 && wellSaid) return { us, failure: undefined };
      const said = `${output} ${readBack(sys, errors)}`.replace(/\s+/g, ' ').trim();
      return { us, failure: `${command} by ${variant.name}: wait status ${status}: ${said.slice(0, SHOWN)}` };
    } finally {
      closeFd(sys, errors);
    }
  });
}

function environment(scratch: string, variant: Variant, command: Command, attachment: Attachment): string[] {
  return [
    `CNI_COMMAND=${command}`,
    `CNI_CONTAINERID=${attachment.containerId}`,
    `CNI_NETNS=${netnsPath(scratch, attachment.pod)}`,
    'CNI_IFNAME=eth0',
    `CNI_PATH=${variant.cniPath}`,
    'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
  ];
}

function timed(
  sys: Syscalls,
  { path, argv, config }: Variant,
  env: readonly string[],
  errors: number,
): { us: number; status: number; output: string } {
  const { arena, nr } = sys;
  const program = arena.cstring(path).address;
  const args = stringArray(sys, argv);
  const variables = stringArray(sys, env);
  const defaultAction = arena.alloc(32).address;
  const input = arena.copy(arena.encode(config));
  const ends = arena.alloc(16);
  const status = arena.alloc(4);
  const buffer = arena.buffer(OUTPUT_BYTES);
  const start = monotonicMs(sys);
  check(sys.call(nr.pipe2, ends.address, O_CLOEXEC), 'open', 'pipe');
  check(sys.call(nr.pipe2, ends.address + 8, O_CLOEXEC), 'open', 'pipe');
  const [stdin, feed, drain, stdout] = [ends.i32(0), ends.i32(4), ends.i32(8), ends.i32(12)];
  // The input fits in the pipe's buffer, so the write does not block although nobody reads yet.
  check(sys.call(nr.write, feed, input.address, input.length), 'write', 'pipe');
  sys.call(nr.close, feed);
  const pid = sys.call(nr.clone, CLONE_VFORK | SIGCHLD);
  if (pid === 0) {
    sys.call(nr.dup3, stdin, 0, 0);
    sys.call(nr.dup3, stdout, 1, 0);
    sys.call(nr.dup3, errors, 2, 0);
    sys.call(nr.rt_sigaction, SIGPIPE, defaultAction, 0, 8);
    sys.call(nr.execve, program, args, variables);
    for (;;) sys.call(nr.exit_group, 127);
  }
  check(pid, 'fork', path);
  sys.call(nr.close, stdin);
  sys.call(nr.close, stdout);
  let length = 0;
  for (;;) {
    const count = uninterrupted(sys, nr.read, drain, buffer.address + length, OUTPUT_BYTES - length);
    if (count <= 0) break;
    length += count;
  }
  uninterrupted(sys, nr.wait4, pid, status.address);
  const us = (monotonicMs(sys) - start) * 1000;
  sys.call(nr.close, drain);
  return { us, status: status.u32(0), output: buffer.text(0, length) };
}

function stringArray(sys: Syscalls, texts: readonly string[]): number {
  const array = sys.arena.alloc((texts.length + 1) * 8);
  texts.forEach((text, index) => {
    array.setU64(index * 8, sys.arena.cstring(text).address);
  });
  return array.address;
}

function readBack(sys: Syscalls, errors: number): string {
  const copy = openFile(sys, `/proc/self/fd/${errors}`, 0);
  const bytes = sys.arena.buffer(4096);
  const count = sys.call(sys.nr.read, copy, bytes.address, bytes.length);
  closeFd(sys, copy);
  return count > 0 ? bytes.text(0, count) : '';
}
