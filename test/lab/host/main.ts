// The host program, which is the first of a lab's processes. It holds the switch and starts the nodes. Everything that belongs to a
// lab is below this process in one PID namespace and in its mount namespace. When this process ends, the lab ends and nothing is
// left.

import { closeSync, mkdirSync, readFileSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { mustRun, runCommand } from '../command.ts';
import { DISK_FOLDER, HOST_SOCKET, type HostMethods, LEASE_FOLDER } from '../contract.ts';
import { type Handlers, serveRpc } from '../rpc.ts';
import { NodeKeeper } from './nodes.ts';
import { makeUnderlay } from './underlay.ts';

/** This program writes a line to this descriptor when the lab can be used. The owner reads it. */
const READY_FD = 3;
/** The owner holds the other end of this pipe. When the owner is gone, the pipe closes. */
const OWNER_FD = 4;

await ownMounts();
await makeUnderlay();

const nodes = new NodeKeeper(process.argv[2] ?? '', fileURLToPath(new URL('runner.mjs', import.meta.url)));
let released = false;

const handlers: Handlers<HostMethods> = {
  addNode: (spec) => nodes.add(spec),
  removeNode: async ({ name }) => {
    await nodes.remove(name);
    return null;
  },
  rebootNode: ({ name }) => nodes.reboot(name),
  listNodes: () => Promise.resolve(nodes.list()),
  release: () => {
    released = true;
    return Promise.resolve(null);
  },
  exec: ({ argv, netns, ...options }) =>
    runCommand(netns === undefined ? argv : ['nsenter', `--net=${netns}`, '--', ...argv], options),
};

await serveRpc(HOST_SOCKET, handlers);
new Socket({ fd: OWNER_FD, readable: true, writable: false }).on('close', ownerGone).on('error', ownerGone).resume();
// After the release, nobody reads what is printed here.
process.stderr.on('error', () => undefined);
writeSync(READY_FD, 'ready\n');
closeSync(READY_FD);

function ownerGone(): void {
  if (!released) process.exit(1);
}

/**
 * Mounts the lab's own /run and /sys. Mounts of network namespaces that belong to other programs are removed, because a copy of
 * such a mount would keep the namespace alive. Mounts below the machine's /run are removed, too: a program that looks for
 * /run/netns in the list of mounts, as containerd does, would find the machine's first.
 */
async function ownMounts(): Promise<void> {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const foreign = mounts.filter(
    (line) => line.includes(' - nsfs ') || line.split(' ')[4]?.startsWith('/run/') === true,
  );
  // Unmounts the last mount first, because it may lie on an earlier one.
  for (const mount of foreign.reverse()) {
    const path = mount.split(' ')[4] ?? '';
    const { exitCode, stderr } = await runCommand(['umount', '--no-mtab', '--lazy', path]);
    // A mount below another one that covers it cannot be reached, and nothing else can reach it either.
    const isCovered = stderr.includes('not mounted');
    if (exitCode !== 0 && !isCovered) throw new Error(`umount ${path}: ${stderr.trim()}`);
  }
  await mustRun(['mount', '--no-mtab', '-t', 'tmpfs', '-o', 'mode=755', 'lab', '/run']);
  await mustRun(['mount', '--no-mtab', '-t', 'sysfs', 'sysfs', '/sys']);
  for (const folder of [LEASE_FOLDER, DISK_FOLDER]) mkdirSync(folder, { recursive: true });
}
