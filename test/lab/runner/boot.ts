// Makes the namespaces of a node's runner look like a separate machine, with its own disk, /run, /sys, host name and boot id.
// Everything is a mount in this mount namespace; nothing is written to the folders of the real machine.

import { randomUUID } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { mustRun } from '../command.ts';
import {
  CNI_BIN_FOLDER,
  CNI_CACHE_FOLDER,
  CONFLIST_FOLDER,
  DISK_FOLDER,
  LEASE_FOLDER,
  type NodeSpec,
  PROGRAM_FOLDER,
  UNDERLAY_DEVICE,
} from '../contract.ts';
import { waitUntil } from '../processes.ts';
import { NETNS_FOLDER } from './netns.ts';

/** Folders to which a node may write without changing the real machine. */
const DISK_LAYERS = ['/etc', '/opt', '/var/lib'];
/** Folders in which the real machine may have files of CNI. A node must not see them. */
const CNI_FOLDERS = ['/etc/cni', '/opt/cni', '/var/lib/cni'];
const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const PLUG_TIMEOUT_MS = 10_000;

/** Mounts, host name and, at the first boot, the files of the node. */
export async function bootNode(spec: NodeSpec): Promise<void> {
  const disk = join(DISK_FOLDER, spec.name);
  const firstBoot = !existsSync(disk);
  for (const layer of DISK_LAYERS) await mountOverlay(layer, join(disk, layer));
  await mountRun(join(DISK_FOLDER, `${spec.name}.run`));
  // A sysfs mount shows the network devices of the namespace in which it was mounted.
  await mustRun(['mount', '--no-mtab', '-t', 'sysfs', 'sysfs', '/sys']);
  await freshBootId();
  writeFileSync('/proc/sys/kernel/hostname', spec.name);
  if (firstBoot) installFiles(spec);
}

async function mountOverlay(folder: string, disk: string): Promise<void> {
  const [upper, work] = [join(disk, 'upper'), join(disk, 'work')];
  mkdirSync(upper, { recursive: true });
  mkdirSync(work, { recursive: true });
  await mustRun([
    'mount',
    '--no-mtab',
    '-t',
    'overlay',
    'overlay',
    '-o',
    `lowerdir=${folder},upperdir=${upper},workdir=${work}`,
    folder,
  ]);
}

/** Mounts an empty /run at each boot, with the lab's shared lease folder in it. */
async function mountRun(staging: string): Promise<void> {
  mkdirSync(staging, { recursive: true });
  await mustRun(['mount', '--no-mtab', '-t', 'tmpfs', '-o', 'mode=755', 'run', staging]);
  const leases = join(staging, 'lab/leases');
  mkdirSync(leases, { recursive: true });
  await mustRun(['mount', '--no-mtab', '--bind', LEASE_FOLDER, leases]);
  await mustRun(['mount', '--no-mtab', '--move', staging, '/run']);
  // Does what `ip netns add` does at its first use, so that a name made in any copy of this mount namespace is visible in all
  // copies.
  mkdirSync(NETNS_FOLDER);
  await mustRun(['mount', '--no-mtab', '--bind', '--make-shared', NETNS_FOLDER, NETNS_FOLDER]);
}

/** Programs recognise a reboot by the boot id. Without this mount they would see that of the real machine. */
async function freshBootId(): Promise<void> {
  writeFileSync('/run/lab/boot_id', `${randomUUID()}\n`);
  await mustRun(['mount', '--no-mtab', '--bind', '/run/lab/boot_id', BOOT_ID]);
}

function installFiles({ pluginFolder, files, agent }: NodeSpec): void {
  for (const folder of CNI_FOLDERS) rmSync(folder, { recursive: true, force: true });
  for (const folder of [CNI_BIN_FOLDER, CONFLIST_FOLDER, CNI_CACHE_FOLDER]) mkdirSync(folder, { recursive: true });
  cpSync(pluginFolder, CNI_BIN_FOLDER, { recursive: true, verbatimSymlinks: true });
  linkOurNames();
  mkdirSync(PROGRAM_FOLDER, { recursive: true });
  if (agent?.argv[0] !== undefined) symlinkSync(agent.argv[0], join(PROGRAM_FOLDER, 'flanneld'));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
}

/** Our executable contains several plugins and chooses one by the name with which it is called. */
function linkOurNames(): void {
  const [ours, portmap] = [join(CNI_BIN_FOLDER, 'flannel'), join(CNI_BIN_FOLDER, 'portmap')];
  if (existsSync(ours) && !existsSync(portmap)) symlinkSync('flannel', portmap);
}

/** Sets addresses, the default route and forwarding, after eth0 has been connected. */
export async function configureNetwork(spec: NodeSpec): Promise<void> {
  await waitUntil(
    () => existsSync(`/sys/class/net/${UNDERLAY_DEVICE}`),
    PLUG_TIMEOUT_MS,
    `${UNDERLAY_DEVICE} of ${spec.name}`,
  );
  const commands = [
    'link set lo up',
    `link set ${UNDERLAY_DEVICE} mtu ${spec.mtuBytes} up`,
    `address add ${spec.address} brd + dev ${UNDERLAY_DEVICE}`,
    `route add default via ${spec.gateway}`,
  ];
  await mustRun(['ip', '-batch', '-'], { input: `${commands.join('\n')}\n` });
  // On a real node, whoever installed the machine has switched forwarding on. The agent writes nothing under /proc/sys.
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
  if (existsSync('/proc/sys/net/ipv6')) writeFileSync('/proc/sys/net/ipv6/conf/all/forwarding', '1');
}
