// A virtual machine with a stock kernel and this machine's files, by software emulation: QEMU runs without rights of its own. Commands
// are passed as files of a shared folder, since a serial console would mix their output with the kernel's messages.

import { spawn } from 'node:child_process';
import { createReadStream, existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeInitramfs } from './initramfs.mjs';

/** Debian packages that this needs, each with a command that shows it is installed. */
export const PACKAGES = {
  'qemu-system-x86': 'qemu-system-x86_64',
  'busybox-static': 'busybox',
  cpio: 'cpio',
  kmod: 'depmod',
  'xz-utils': 'xz',
  'wireguard-tools': 'wg',
};

const BOOT_MS = 300_000;
const ASK_AGAIN_MS = 200;
/** A field of /proc/PID/stat (proc(5)). */
const TICKS_A_MINUTE = 6000;

/** The factor for a test's time limits: software emulation is 8 to 15 times slower, netlink in bulk more. */
export const SLOWNESS = Number(process.env['WEFT_TEST_SLOWNESS'] || 12);

for (const [name, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
  ['SIGHUP', 1],
])
  process.once(name, () => process.exit(128 + number));

export class VirtualMachine {
  #folder;
  #qemu;
  #console = '';
  #count = 0;
  #ended = false;

  constructor(folder, qemu) {
    this.#folder = folder;
    this.#qemu = qemu;
    const keep = (bytes) => {
      this.#console = (this.#console + bytes).slice(-4000);
    };
    qemu.stdout.on('data', keep);
    qemu.stderr.on('data', keep);
    // Otherwise a machine would outlive this process, and use a processor for ever.
    const kill = () => {
      qemu.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    };
    process.once('exit', kill);
    qemu.on('close', () => {
      this.#ended = true;
      process.off('exit', kill);
    });
  }

  /**
   * Boots a kernel of debianKernel(), which finds none of the modules in `without`. `network` is the socket of a switch (switch.mjs) and
   * the MAC address of eth0 there; such a machine also has an eth1, by which 10.0.2.2 leads to this machine's loopback. With
   * `countsInstructions` the machine's clock runs by the instructions that it executes, so that a measurement there does not depend on how
   * much of a processor the machine gets. Rejects with one line and the end of the console when it does not come up.
   */
  static async boot(kernel, { memoryMb = 6144, without = [], network, countsInstructions = false } = {}) {
    const folder = await mkdtemp(join(tmpdir(), 'weft-vm-'));
    const share = join(folder, 'share');
    await mkdir(share);
    await writeFile(join(share, 'start.sh'), startScript(kernel, without, network !== undefined));
    const initrd = await makeInitramfs(kernel, folder);
    const vm = new VirtualMachine(
      folder,
      spawn('qemu-system-x86_64', qemuArguments(kernel, { initrd, share, memoryMb, network, countsInstructions }), {
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    );
    await vm.#until(() => existsSync(join(share, 'up')), BOOT_MS, `kernel ${kernel.name} does not boot`);
    return vm;
  }

  /**
   * Runs a shell command in `cwd` and resolves to its exit code; its output goes to `output`, a writable stream. After `limitMs` it
   * is killed, and the code is 124.
   */
  async run(command, { cwd = '/', env = {}, limitMs = 3_600_000, output = process.stdout } = {}) {
    const id = ++this.#count;
    const base = join(this.#folder, 'share', String(id));
    const exports = Object.entries(env).map(([name, value]) => `export ${name}=${quoted(value)}`);
    const limit = Math.ceil(limitMs / 1000);
    const lines = [...exports, `cd ${quoted(cwd)}`, `exec timeout -k 10 ${limit} /bin/sh -c ${quoted(command)}`];
    await writeFile(`${base}.part`, `${lines.join('\n')}\n`);
    await rename(`${base}.part`, `${base}.sh`);
    let shown = 0;
    const show = async () => {
      const size = existsSync(`${base}.out`) ? statSync(`${base}.out`).size : 0;
      if (size <= shown) return;
      const part = createReadStream(`${base}.out`, { start: shown, end: size - 1 });
      for await (const bytes of part) output.write(bytes);
      shown = size;
    };
    await this.#until(() => existsSync(`${base}.rc`), limitMs + 60_000, `"${command}" does not end`, show);
    await show();
    return Number(await readFile(`${base}.rc`, 'utf8'));
  }

  /** The path, as this machine sees it, of a file in the folder that both share. */
  pathOutside(name) {
    return join(this.#folder, 'share', name);
  }

  /** The same file's path in the virtual machine. */
  pathInside(name) {
    return `/run/share/${name}`;
  }

  /** The processor time that the machine has used; on an otherwise idle processor this is the time that has passed. */
  get processorMinutes() {
    const fields = readFileSync(`/proc/${this.#qemu.pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_A_MINUTE;
  }

  /** Ends the machine and removes its files. */
  async stop() {
    if (!this.#ended) {
      this.#qemu.kill('SIGKILL');
      await new Promise((resolve) => this.#qemu.once('close', resolve));
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #until(isThere, limitMs, problem, meanwhile) {
    const end = Date.now() + limitMs;
    while (!isThere()) {
      if (this.#ended || Date.now() > end) {
        const console = this.#console.trim();
        await this.stop();
        throw new Error(`${problem}; the end of its console:\n${console}`);
      }
      await meanwhile?.();
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
    }
  }
}

/** Runs one command file after the other. The exit code is written last and by a rename, so that it is never read half written. */
function startScript({ folder, release }, without, isOnNetwork) {
  return `export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
hostname weft-vm
ip link set lo up
mkdir -p /lib/modules
ln -sfn ${quoted(join(folder, 'lib/modules', release))} /lib/modules/${release}
mkdir -p /etc/modprobe.d
: > /etc/modprobe.d/weft-without.conf
${without.map((name) => `echo 'install ${name} /bin/false' >> /etc/modprobe.d/weft-without.conf`).join('\n')}
${isOnNetwork ? 'modprobe virtio_net' : ''}
cd /run/share
: > up
n=1
while :; do
  if [ -f "$n.sh" ]; then
    /bin/sh "$n.sh" > "$n.out" 2>&1 < /dev/null
    echo $? > "$n.code"
    mv "$n.code" "$n.rc"
    n=$((n + 1))
  else
    sleep 0.2
  fi
done
`;
}

function qemuArguments({ image }, { initrd, share, memoryMb, network, countsInstructions }) {
  return [
    // /dev/kvm may exist and hang, so emulation is requested by name.
    ...['-accel', 'tcg', '-m', String(memoryMb)],
    // Without AVX, whose registers are emulated slowly and used for every copy in memory: Node starts in four fifths of the time.
    ...['-cpu', 'max,-avx,-avx2,-fma,-f16c'],
    // One processor. With two the kernel dies of `Oops: int3` from time to time: it changes its own instructions when the first firewall
    // rule is added, and the emulator lets the other processor run into the change.
    ...['-smp', '1'],
    // Each instruction takes 8 ns of the machine's time.
    ...(countsInstructions ? ['-icount', 'shift=3'] : []),
    ...['-nographic', '-no-reboot', '-kernel', image, '-initrd', initrd],
    // On a busy machine its processors may stand still for a minute, which is not the kernel's fault.
    ...['-append', 'console=ttyS0 panic=-1 quiet mitigations=off nowatchdog rcupdate.rcu_cpu_stall_suppress=1'],
    ...['-virtfs', 'local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap'],
    ...['-virtfs', `local,path=${share},mount_tag=share,security_model=none`],
    ...(network === undefined ? ['-nic', 'none'] : networkArguments(network)),
  ];
}

/** Network cards without the boot ROM, which some packages lack. */
function networkArguments({ socket, mac }) {
  return [
    ...['-netdev', `stream,id=peers,server=off,addr.type=unix,addr.path=${socket}`],
    ...['-device', `virtio-net-pci,netdev=peers,mac=${mac},romfile=`],
    ...['-netdev', 'user,id=host,ipv6=off', '-device', 'virtio-net-pci,netdev=host,romfile='],
  ];
}

/** A word as the shell takes it. */
export function quoted(text) {
  return `'${String(text).replaceAll("'", "'\\''")}'`;
}
