// The image's agent for the other processor, run once by QEMU's user emulation on a node with one interface: it becomes ready, with its
// device, routes and tables in the kernel. nft is this machine's, because an emulated program cannot execute another one.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { OWN_ARCH } from '../../../scripts/image/image-build.mjs';
import { readArchive, unpackLayers } from '../../../scripts/image/oci.mjs';
import { needs } from '../../support/needs.ts';
import { imageFolder } from './site.ts';

const OTHER = OWN_ARCH === 'amd64' ? 'arm64' : 'amd64';
const GNU = { amd64: 'x86_64', arm64: 'aarch64' }[OTHER];
/** An idle machine takes six seconds. */
const READY_MS = 300_000;
const sources = join(import.meta.dirname, 'emulation');

/**
 * $1 is the image's files, $2 the folder with the programs of emulation/. When the agent is ready, the node's state is written to $2/seen.
 */
const NODE = `
ip link set lo up
ip link add eth0 type veth peer name other
ip address add 192.0.2.1/24 dev eth0
ip link set other up
ip link set eth0 up
ip route add default via 192.0.2.2
mount -t tmpfs tmpfs /run
mkdir /run/leases
echo '{ "Network": "10.244.0.0/16" }' >/run/net-conf.json
"$2/open" qemu-${GNU}-static -E "LD_PRELOAD=$2/preload.so" -L "$1" "$1/usr/local/bin/node" "$1/opt/weft/flanneld" \\
  --net-config-path=/run/net-conf.json --subnet-dir=/run/leases --node-name=other --ip-masq 2>"$2/log" &
agent=$!
until grep -q '"msg":"ready"' "$2/log"; do kill -0 $agent; sleep 0.2; done
{ cat /run/flannel/subnet.env; ip -d link show flannel.1; ip route; nft list tables; } >"$2/seen"
kill $agent
wait $agent
`;

test(`the agent for ${OTHER} gets ready under emulation, and stops when it is told`, {
  timeout: READY_MS + 60_000,
}, async () => {
  const work = mkdtempSync(join(tmpdir(), 'weft-emulated-'));
  onTestFinished(() => rmSync(work, { recursive: true }));
  const image = readArchive(join(imageFolder(), 'image.tar'), work).images.find((one) => one.architecture === OTHER);
  const root = join(work, 'root');
  await unpackLayers(image?.layers ?? [], root);
  compile('gcc', ['-o', join(work, 'open'), join(sources, 'open.c')]);
  compile(`${GNU}-linux-gnu-gcc`, ['-shared', '-fPIC', '-o', join(work, 'preload.so'), join(sources, 'preload.c')]);
  const namespaces = [
    '--mount',
    '--net',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
    '--propagation',
    'private',
  ];
  const node = spawn('unshare', [...namespaces, 'sh', '-e', '-c', NODE, 'sh', root, work], { stdio: 'inherit' });
  const timer = setTimeout(() => node.kill('SIGKILL'), READY_MS);
  const code = await new Promise((resolve) => void node.once('exit', resolve));
  clearTimeout(timer);
  const log = readFileSync(join(work, 'log'), 'utf8');
  expect(code, log).toBe(0);
  expect(log).toContain('stopped, data plane left in place');
  const seen = readFileSync(join(work, 'seen'), 'utf8');
  for (const text of [
    'FLANNEL_MTU=1450',
    'vxlan id 1 local 192.0.2.1',
    'unreachable 10.244.0.0/16',
    'table ip weft',
    'table inet weft',
  ])
    expect(seen).toContain(text);
});

function compile(compiler: string, args: readonly string[]): void {
  try {
    execFileSync(compiler, ['-O2', '-Wall', '-Werror', ...args]);
  } catch (error) {
    needs.setUp(!(error instanceof Error && 'code' in error && error.code === 'ENOENT'), compiler);
    throw error;
  }
}
