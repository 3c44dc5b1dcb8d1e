// Calls of the CNI executables from inside the stress node's namespaces, as a runtime makes them for a list of plugins.

import { join } from 'node:path';
import { type CommandResult, runCommand } from '../../lab/command.ts';
import type { CniResult, JsonObject } from '../conformance/attachment.ts';

/** The folder of a stress run, which contains everything. */
export interface Place {
  readonly dir: string;
  readonly bin: string;
}

export interface Attachment {
  readonly container: string;
  readonly netns: string;
}

/** One plugin of a list: its part of the configuration, and the runtimeConfig of this attachment. */
export type Part = JsonObject & { readonly type: string };

const CALL_LIMIT_MS = 30_000;

/** The classic list's first plugin; subnet.env has the node's `addresses`. */
export function flannelPart({ dir }: Place): Part {
  return {
    type: 'flannel',
    subnetFile: join(dir, 'subnet.env'),
    dataDir: join(dir, 'state'),
    ipam: { dataDir: join(dir, 'networks') },
    delegate: { hairpinMode: true, isDefaultGateway: true },
  };
}

export interface HowToCall {
  /** The plugin gets SIGKILL after this time if it still runs. */
  readonly killAfterMs?: number | undefined;
  /** A command with arguments, to which the plugin is appended. */
  readonly before?: readonly string[];
}

export function callPlugin(
  { bin }: Place,
  command: string,
  { container, netns }: Attachment,
  part: Part,
  { killAfterMs = CALL_LIMIT_MS, before = [] }: HowToCall = {},
): Promise<CommandResult> {
  const env = { CNI_COMMAND: command, CNI_CONTAINERID: container, CNI_NETNS: netns, CNI_IFNAME: 'eth0', CNI_PATH: bin };
  const input = JSON.stringify({ cniVersion: '1.1.0', name: 'cbr0', ...part });
  return runCommand([...before, join(bin, part.type)], { env, input, cwd: '/', timeoutMs: killAfterMs });
}

/** The reason why a call failed; undefined when it succeeded. */
export function problemOf(command: string, { exitCode, signal, stdout, stderr }: CommandResult): string | undefined {
  if (exitCode === 0 && (command === 'ADD') === (stdout !== '')) return undefined;
  return `${command}: ${signal ?? `exit ${exitCode}`}: ${(stdout || stderr).replace(/\s+/g, ' ').trim()}`;
}

/** The first address that an ADD gave, without its length; undefined when it gave none. */
export function addressOf({ stdout }: Pick<CommandResult, 'stdout'>): string | undefined {
  return (JSON.parse(stdout) as CniResult).ips?.[0]?.address.split('/')[0];
}
