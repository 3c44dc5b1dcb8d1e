// Packets from another node to the first pod of a node must arrive at once. The node uses the bridge's link-local address to ask for
// a pod's MAC. It cannot use that address during duplicate address detection (RFC 4862 §5.4), which takes one to two seconds, and
// packets queue meanwhile. Here the queue holds only one packet, so that the others would be lost.

import { beforeEach, expect, onTestFinished } from 'vitest';
import { netnsPath } from '../cni/conformance/sandbox.ts';
import { Background } from '../support/background.ts';
import { node, test } from '../support/cni-test.ts';

const POD = 'fd00:244:0:1::2';
const LINK_LOCAL = 'fe80::858:aff:fef4:101/64';

beforeEach(async () => {
  node.writeSubnetEnv({ FLANNEL_IPV6_NETWORK: 'fd00:244::/48', FLANNEL_IPV6_SUBNET: 'fd00:244:0:1::1/64' });
  await node.pod('other');
  await node.sandbox.must(['sh', '-c', OTHER_NODE, netnsPath('other')]);
});

/** Another machine on one of the node's links. It is the node's default gateway. */
const OTHER_NODE = `set -e
ip link add up0 type veth peer name up1 netns "$0"
ip -6 addr add fd01::1/64 dev up0 nodad
ip link set up0 up
nsenter --net="$0" sh -c 'ip -6 addr add fd01::2/64 dev up1 nodad; ip link set up1 up; ip -6 route add default via fd01::1'
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
until [ -z "$(ip -6 addr show dev up0 tentative)" ]; do sleep 0.05; done
`;

const ECHO = `
const socket = require('node:dgram').createSocket('udp6');
socket.on('message', (message, from) => socket.send(message, from.port, from.address));
socket.bind(9, () => console.log('listening'));
`;

/** A program that sends 20 numbered packets and prints which of them was answered first, or `none` after its second argument's ms. */
const ASK = `
const socket = require('node:dgram').createSocket('udp6');
socket.on('message', (message) => { console.log(message.toString()); process.exit(); });
let sent = 0;
const timer = setInterval(() => {
  socket.send(String(sent), 9, process.argv[1]);
  if (++sent === 20) clearInterval(timer);
}, 5);
setTimeout(() => { console.log('none'); process.exit(); }, Number(process.argv[2]));
`;

async function firstAnswered(waitMs = 10_000): Promise<string> {
  const argv = node.sandbox.inside([process.execPath, '-e', ECHO], 'c1');
  const echo = new Background(argv as [string, ...string[]]);
  onTestFinished(() => echo.stop());
  await echo.ready(() => Promise.resolve(echo.output.includes('listening')), 20_000);
  await node.attachment().add();
  await node.sandbox.must(['sh', '-c', 'echo 1 > /proc/sys/net/ipv6/neigh/cni0/unres_qlen']);
  return (await node.sandbox.must([process.execPath, '-e', ASK, POD, `${waitMs}`], 'other')).trim();
}

function bridgeAddresses(...filter: string[]): Promise<string> {
  return node.sandbox.must(['ip', '-6', 'addr', 'show', 'dev', 'cni0', ...filter]);
}

test('the first packet to the first pod is answered', async () => {
  expect(await firstAnswered()).toBe('0');
  expect(await bridgeAddresses('scope', 'link')).toContain(LINK_LOCAL);
  expect(await bridgeAddresses('tentative')).toBe('');
});

test('the first packet is lost when the bridge has only the kernel’s link-local address during duplicate address detection (control)', async () => {
  const bridge = 'ip link add cni0 address 0a:58:0a:f4:01:01 type bridge';
  // It asks for a minute and not once, so that the detection has not ended before the first packet on a busy machine either.
  const probes = 'echo 60 > /proc/sys/net/ipv6/conf/cni0/dad_transmits';
  const address = 'ip -6 addr add fd00:244:0:1::1/64 dev cni0 nodad';
  await node.sandbox.must(['sh', '-c', `${bridge} && ${probes} && ip link set cni0 up && ${address}`]);
  expect(await firstAnswered(1000)).not.toBe('0');
  expect(await bridgeAddresses('tentative')).not.toBe('');
});

test.for([
  { name: 'the kernel makes no link-local address', setting: 'default/addr_gen_mode', value: '1' },
  { name: 'every device must look for duplicates', setting: 'all/accept_dad', value: '1' },
])('it is answered where $name', async ({ setting, value }) => {
  await node.sandbox.must(['sh', '-c', `echo ${value} > /proc/sys/net/ipv6/conf/${setting}`]);
  expect(await firstAnswered()).toBe('0');
});

test('a bridge that was set down and up again has its address at once', async () => {
  await node.attachment().add();
  await node.sandbox.must(['sh', '-c', 'ip link set cni0 down; ip link set cni0 up']);
  expect(await bridgeAddresses('scope', 'link')).toContain(LINK_LOCAL);
  expect(await bridgeAddresses('tentative')).toBe('');
});
