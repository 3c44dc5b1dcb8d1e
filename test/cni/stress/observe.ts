// Finds what attachments have left on a node. It reads /sys and the files, because this is done thousands of times and must be cheap.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from '../../lab/command.ts';
import type { Place } from './plugin.ts';

/** Names of the node's devices. */
export function devices(): string[] {
  return readdirSync('/sys/class/net');
}

/** Names of the node's devices that begin with `prefix`: `veth`, or `ifb` and `bwp` of bandwidth. */
export function devicesNamed(prefix: string): string[] {
  return devices().filter((name) => name.startsWith(prefix));
}

export function bridgeMac(): string | undefined {
  const file = '/sys/class/net/cni0/address';
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
}

/** Address → container, according to the address files. */
export function heldAddresses({ dir }: Place): Map<string, string> {
  const folder = join(dir, 'networks/cbr0');
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => /^\d+\./.test(name)) : [];
  return new Map(names.map((name) => [name, readFileSync(join(folder, name), 'utf8').split(/\r?\n/)[0] ?? '']));
}

/** Names of all files kept for containers, and of files being written, except the address files. */
export function keptFiles({ dir }: Place): string[] {
  const list = (folder: string): string[] => (existsSync(join(dir, folder)) ? readdirSync(join(dir, folder)) : []);
  const index = list('networks/cbr0').filter((name) => !/^(\d+\.|last_reserved_ip|lock$|\.boot$)/.test(name));
  return [...list('state'), ...index];
}

/** How often the firewall's rules contain each of `texts`. */
export async function firewallMentions(texts: readonly string[]): Promise<number> {
  const rules = await mustRun(['nft', 'list', 'ruleset']);
  return texts.filter((text) => rules.includes(text)).length;
}
