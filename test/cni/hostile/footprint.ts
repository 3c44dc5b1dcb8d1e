// Everything that a call may have made on its node: devices, addresses, rules, files.

import { spawnSync } from 'node:child_process';
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Files that belong to a network and not to an attachment. The Go plugins leave them as well. */
const OF_THE_NETWORK = /^(lock|weft-portmap\.lock|\.boot|last_reserved_ip\.\d+)$/;

/** The files below the folders, with attributes that would show a change, and the node's devices. */
export function quickFootprint(folders: readonly string[]): string[] {
  const files = folders.flatMap((folder) => filesBelow(folder));
  return [...files, ...readdirSync('/sys/class/net').map((name) => `device ${name}`)].sort();
}

/** The same with what only programs can list: the pod's devices, addresses, routes, rules. */
export function wholeFootprint(folders: readonly string[], netns: string): string[] {
  const inPod = (argv: readonly string[]): string[] => lines(['nsenter', `--net=${netns}`, '--', ...argv]);
  return [
    ...quickFootprint(folders),
    ...lines(['ip', '-o', 'address']),
    ...lines(['ip', 'route', 'show', 'table', 'all']),
    ...inPod(['ip', '-br', 'link']).map((line) => line.split(' ')[0] ?? ''),
    // Setting lo up is the loopback plugin's work, and lasts as with the Go plugin.
    ...inPod(['ip', '-o', 'address']).filter((line) => !/^\d+: lo /.test(line)),
    // Tables, chains and the rules that use maps belong to the node; the maps' elements belong to pods.
    ...lines(['nft', '-a', 'list', 'ruleset']).filter((line) => /\belements\b|\b10\.1\.2\.9\b/.test(line)),
  ];
}

export function difference(before: readonly string[], after: readonly string[]): string[] {
  const [old, now] = [new Set(before), new Set(after)];
  return [
    ...after.filter((line) => !old.has(line)).map((line) => `+ ${line}`),
    ...before.filter((line) => !now.has(line)).map((line) => `- ${line}`),
  ];
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesBelow(path);
    if (OF_THE_NETWORK.test(entry.name)) return [];
    if (!entry.isFile()) return [`${path} ${lstatSync(path).mode}`];
    const { size, mtimeNs, ino } = lstatSync(path, { bigint: true });
    return [`${path} ${size} ${mtimeNs} ${ino}`];
  });
}

function lines(argv: readonly string[]): string[] {
  const [file = '', ...args] = argv;
  const { status, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${argv.join(' ')}: ${stderr}`);
  return stdout.split('\n').filter((line) => line !== '' && !line.startsWith('local ') && !/\bfe80::/.test(line));
}
