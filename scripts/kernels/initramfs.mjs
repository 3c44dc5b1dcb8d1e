// The initial file system of a virtual machine: busybox, the modules that reach the host's files, and a script that makes
// these files the root. The root is an overlay: the machine sees this one's files and can change them, and nothing is written back.

import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { run } from '../command.mjs';

const BUSYBOX = '/usr/bin/busybox';
const NEEDED = ['virtio_pci', '9pnet_virtio', '9p', 'overlay'];

/** Makes the file `initrd` in `folder` and returns its path. */
export async function makeInitramfs(kernel, folder) {
  const root = join(folder, 'initramfs');
  await mkdir(join(root, 'bin'), { recursive: true });
  await mkdir(join(root, 'modules'), { recursive: true });
  await copyFile(BUSYBOX, join(root, 'bin/busybox'));
  const modules = await modulesInOrder(kernel);
  const names = [];
  for (const [at, path] of modules.entries()) {
    const name = `${String(at).padStart(2, '0')}-${basename(path).replace(/\.ko.*$/, '.ko')}`;
    await writeFile(join(root, 'modules', name), await unpacked(path));
    names.push(name);
  }
  await writeFile(join(root, 'init'), initScript(names));
  await chmod(join(root, 'init'), 0o755);
  const path = join(folder, 'initrd');
  const archive = await run('/bin/sh', ['-c', 'find . | cpio -o -H newc --quiet'], { cwd: root, encoding: 'buffer' });
  await writeFile(path, gzipSync(archive, { level: 1 }));
  return path;
}

/** The files of the needed modules and of what they depend on, in the order in which they are loaded. */
async function modulesInOrder({ folder, release }) {
  const files = [];
  for (const name of NEEDED) {
    const text = await run('modprobe', ['-d', folder, '-S', release, '--show-depends', name]);
    for (const [, path] of text.matchAll(/^insmod (\S+)/gm)) if (!files.includes(path)) files.push(path);
  }
  return files;
}

/** busybox's insmod reads only plain modules. */
async function unpacked(path) {
  if (path.endsWith('.xz')) return await run('xz', ['-dc', path], { encoding: 'buffer' });
  const bytes = await readFile(path);
  return path.endsWith('.gz') ? gunzipSync(bytes) : bytes;
}

function initScript(modules) {
  return `#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev /lower /upper /new
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
${modules.map((name) => `$b insmod /modules/${name}`).join('\n')}
$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose host /lower || { echo "no host files"; $b poweroff -f; }
$b mount -t tmpfs -o size=6g tmpfs /upper
$b mkdir -p /upper/up /upper/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/up,workdir=/upper/work overlay /new
cd /new
$b mount -t proc proc proc
$b mount -t sysfs sys sys
$b mount -t devtmpfs dev dev
$b mkdir -p dev/pts dev/shm
$b mount -t devpts devpts dev/pts
$b mount -t tmpfs shm dev/shm
$b mount -t tmpfs run run
$b mkdir -p run/share
$b mount -t tmpfs tmp tmp
$b chmod 1777 tmp
$b mount -t cgroup2 cgroup sys/fs/cgroup
$b mount -t bpf bpf sys/fs/bpf
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=none share run/share || echo "no share"
exec $b switch_root /new /bin/sh /run/share/start.sh
`;
}
