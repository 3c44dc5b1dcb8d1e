// Gives a lab node access to the machine's cgroups, and removes what containers leave in them.

import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import type { LabNode } from '../../lab/lab-node.ts';

/** Every cgroup of a run lies below this name, so that the cgroups of killed containers can be found and removed. */
export const CGROUP_PARENT = `/weft-${process.pid}`;

/** Mounts the machine's cgroup hierarchies in the node, which has a /sys of its own without cgroups. */
export async function mountCgroups(node: LabNode): Promise<void> {
  const root = '/sys/fs/cgroup';
  const hierarchies = readFileSync('/proc/self/cgroup', 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(':')[1] ?? '');
  const named = hierarchies.filter((controllers) => controllers !== '');
  const lines =
    named.length === 0
      ? [`mount -t cgroup2 cgroup2 ${root}`]
      : [`mount -t tmpfs cgroup ${root}`, ...named.flatMap((controllers) => mountV1(root, controllers))];
  await node.run(['sh', '-ec', lines.join('\n')]);
}

function mountV1(root: string, controllers: string): string[] {
  const folder = `${root}/${controllers.replace('name=', '')}`;
  const kind = controllers.startsWith('name=') ? `none,${controllers}` : controllers;
  return [`mkdir -p ${folder}`, `mount -t cgroup -o ${kind} cgroup ${folder}`];
}

/** Removes the empty cgroups of containers that ended together with their node. rmdir(2) needs the innermost ones first. */
export function removeCgroups(): void {
  const root = '/sys/fs/cgroup';
  const tops = [root, ...readdirSync(root).map((name) => join(root, name))].map((top) => join(top, CGROUP_PARENT));
  for (const top of tops) removeTree(top);
}

function removeTree(folder: string): void {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(folder, entry.name));
  }
  rmdirSync(folder);
}
