// Finds out which blocks of the CNI executable's heap an ADD and a DEL read and write. Before the heap is saved, both run once in
// namespaces of their own while cni-plugin/host-heap.c watches them. Needs root or user namespaces.

import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

/** Must be equal to NUMBERS in host-heap.c. */
const NUMBERS = 1 << 18;
/** Larger blocks are left out, because only a small part of them is used and their pages are loaded one by one. */
const LARGEST_BYTES = 4096;
const HEADER_BYTES = 8;
/** The size of a record: the block's size and number, and whether it was written to. */
const USE_BYTES = 12;

// The first pod creates the bridge; the second shows the usual case.
const PREPARE = `set -e
cd "$0"
mount -t tmpfs profile /run
mkdir netns state networks
: > /run/p1; : > /run/p2
unshare --net=/run/p1 true
unshare --net=/run/p2 true
printf 'FLANNEL_NETWORK=10.244.0.0/16\\nFLANNEL_SUBNET=10.244.1.1/24\\nFLANNEL_MTU=1450\\nFLANNEL_IPMASQ=true\\n' > subnet.env
run() {
  echo '{"cniVersion":"1.0.0","name":"cbr0","type":"flannel","subnetFile":"'$PWD'/subnet.env","dataDir":"'$PWD'/state",
    "ipam":{"dataDir":"'$PWD'/networks"},"delegate":{"hairpinMode":true,"isDefaultGateway":true}}' |
  CNI_COMMAND=$1 CNI_CONTAINERID=pod$2 CNI_NETNS=/run/p$2 CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin call "$1-$2"
}
`;

/**
 * Attaches pods on a node made for this purpose, with the executable `flannel` in `folder`: `call` is the shell command for it, with the
 * operation's name as $1; `operations` are `run ADD 1` and so on. Rejects without the right to make namespaces.
 */
export async function runOperations(folder, call, operations) {
  const user = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  const script = `${PREPARE}call() {\n  ${call}\n}\n${operations.join('\n')}\n`;
  const argv = [...user, '--net', '--mount', '--propagation', 'private', 'sh', '-c', script, folder];
  await promisify(execFile)('unshare', argv, { timeout: 60_000 });
}

/**
 * Writes a profile of `executable`, whose heap is not saved yet, to `file`. Resolves to whether it did: without the right to make
 * namespaces there is no profile, and the heap is saved in its original order.
 */
export async function profileHeap(executable, file) {
  const folder = await mkdtemp(join(dirname(file), 'profile-'));
  try {
    // A copy is run: the child that deletes the link outlives the DEL, and a file that is being executed cannot be written.
    await copyFile(executable, join(folder, 'flannel'));
    await runOperations(folder, './flannel --watch-heap "$PWD/watched-$1"', ['run ADD 1', 'run ADD 2', 'run DEL 2']);
    await writeFile(file, encodeProfile(await readWatched(folder)));
    return true;
  } catch {
    return false;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Reads, by block number, what an operation did to each block that it used. */
async function readWatched(folder) {
  const blocks = new Map();
  for (const name of (await readdir(folder)).filter((entry) => entry.startsWith('watched-'))) {
    const uses = await readFile(join(folder, name));
    for (let at = 0; at < uses.length; at += USE_BYTES) {
      const size = uses.readUInt32LE(at);
      const number = uses.readUInt32LE(at + 4);
      const isWrite = uses.readUInt32LE(at + 8) === 1;
      if (size > LARGEST_BYTES) continue;
      blocks.set(number, { bytes: size + HEADER_BYTES, isWritten: isWrite || blocks.get(number)?.isWritten === true });
    }
  }
  return blocks;
}

/** Encodes what heap_read_profile reads: the sizes of all written and all only-read blocks, then a bit per number for each kind. */
export function encodeProfile(blocks) {
  const totals = { written: 0, read: 0 };
  const numbers = { written: Buffer.alloc(NUMBERS / 8), read: Buffer.alloc(NUMBERS / 8) };
  for (const [number, { bytes, isWritten }] of blocks) {
    const kind = isWritten ? 'written' : 'read';
    totals[kind] += bytes;
    numbers[kind][number >> 3] |= 1 << (number & 7);
  }
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32LE(totals.written, 0);
  lengths.writeUInt32LE(totals.read, 4);
  return Buffer.concat([lengths, numbers.written, numbers.read]);
}
