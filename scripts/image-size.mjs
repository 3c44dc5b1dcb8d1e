// `npm run image:size`: builds the image (manifests/Dockerfile) and prints the compressed size of each part, as in a registry, and
// the memory that the agent takes in it. Needs root.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildah } from './image/buildah.mjs';
import { buildImage, IMAGE_PACKAGES, layerSizes } from './image/image-build.mjs';
import { ensurePackages } from './setup.mjs';

const IMAGE = 'localhost/weft:size';
/** What each of the Dockerfile's last layers contains. */
const PARTS = [
  'Debian: C and C++ library, nft, iptables, busybox',
  "Node's binary",
  'agent, CNI executable, licences and SBOM (/opt/weft)',
];
const READY_MS = 60_000;
/** How long the agent rests before its memory is measured, because its heap shrinks at rest. */
const REST_MS = 5000;

/** A node with one interface; the agent gets the image's files, read-only, and the capability NET_ADMIN. */
const AGENT = `
ip link set lo up
ip link add eth0 type veth peer name other
ip address add 192.0.2.1/24 dev eth0
ip link set other up
ip link set eth0 up
ip route add default via 192.0.2.2
mount --bind -o ro "$1" "$1"
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/run"
echo '{ "Network": "10.244.0.0/16" }' >"$1/run/net-conf.json"
exec setpriv --bounding-set -all,+net_admin,+sys_chroot --inh-caps -all chroot "$1" /opt/weft/flanneld \\
  --net-config-path=/run/net-conf.json --subnet-dir=/run/leases --node-name=size --ip-masq`;

/** The memory (Pss) of the agent at rest, in KiB. */
async function agentMemory(image) {
  const container = buildah('from', image);
  try {
    const root = buildah('mount', container);
    const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--propagation', 'private'];
    const child = spawn('unshare', [...namespaces, 'sh', '-ec', AGENT, 'size', root], {
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    try {
      await ready(child);
      await sleep(REST_MS);
      const [inside] = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').split(' ');
      return Number(/^Pss:\s+([0-9]+)/m.exec(readFileSync(`/proc/${inside}/smaps_rollup`, 'utf8'))?.[1]);
    } finally {
      child.kill('SIGKILL');
      await sleep(200);
    }
  } finally {
    buildah('rm', container);
  }
}

/** Resolves when the agent's log says that it is ready. Otherwise rejects with the log. */
function ready(child) {
  return new Promise((resolve, reject) => {
    let log = '';
    const fail = () => reject(new Error(`the agent does not become ready in the image: ${log}`));
    const timer = setTimeout(fail, READY_MS);
    child.stderr.on('data', (chunk) => {
      log += chunk;
      if (!log.includes('"msg":"ready"')) return;
      clearTimeout(timer);
      resolve();
    });
    child.once('exit', fail);
  });
}

export async function main(values) {
  ensurePackages(IMAGE_PACKAGES);
  buildImage(IMAGE, values);
  const sizes = layerSizes(IMAGE).slice(-PARTS.length);
  const line = (name, text) => process.stdout.write(`${name.padEnd(52)} ${text.padStart(8)}\n`);
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  PARTS.forEach((name, at) => void line(name, megabytes(sizes[at] ?? 0)));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  line('all', megabytes(total));
  line("all but Node's binary", megabytes(total - (sizes[1] ?? 0)));
  line('memory of the agent at rest, without peers', `${((await agentMemory(IMAGE)) / 1024).toFixed(0)} MiB`);
  return 0;
}
