// The underlay: a bridge in the host program's network namespace, with one port for each node.

import { existsSync, writeFileSync } from 'node:fs';
import { mustRun } from '../command.ts';
import { UNDERLAY_DEVICE } from '../contract.ts';
import { waitUntil } from '../processes.ts';

export const UNDERLAY_GATEWAY = '192.168.50.1';
const PREFIX_BITS = 24;
const BRIDGE = 'underlay';
const UNPLUG_TIMEOUT_MS = 20_000;
const GATEWAY_HOST = 1;
/** The bridge has the address .1, and the nodes have .11 and higher. */
const FIRST_NODE_HOST = 10;
export const MAX_NODES = 200;

/** Returns the address of the node with this index: `192.168.50.11/24` for 1. */
export function underlayAddress(index: number): string {
  return `192.168.50.${FIRST_NODE_HOST + index}/${PREFIX_BITS}`;
}

export async function makeUnderlay(): Promise<void> {
  // The bridge stands for a wire, so no firewall of this namespace may see the frames between nodes.
  for (const file of ['bridge-nf-call-iptables', 'bridge-nf-call-ip6tables']) {
    const path = `/proc/sys/net/bridge/${file}`;
    if (existsSync(path)) writeFileSync(path, '0');
  }
  await ipBatch([
    'link set lo up',
    // Without a MAC of its own, a bridge takes another MAC when a port is removed. Nodes would then go on sending to the old MAC.
    `link add ${BRIDGE} address ${macOf(GATEWAY_HOST)} type bridge`,
    `address add ${UNDERLAY_GATEWAY}/${PREFIX_BITS} dev ${BRIDGE}`,
    `link set ${BRIDGE} up`,
  ]);
}

/**
 * Connects the namespaces of process `pid` to the bridge by a veth pair, whose end there is the underlay device. Like a real card,
 * the device has the same MAC after a reboot; otherwise peers would send to the old MAC for some seconds.
 */
export async function plugIn(index: number, pid: number, mtuBytes: number): Promise<void> {
  const port = portName(index);
  const peer = `name ${UNDERLAY_DEVICE} address ${macOf(FIRST_NODE_HOST + index)} mtu ${mtuBytes} netns ${pid}`;
  await ipBatch([`link add ${port} mtu ${mtuBytes} type veth peer ${peer}`, `link set ${port} master ${BRIDGE} up`]);
}

/** Resolves when the kernel has removed a killed node's end, which happens about 70 ms after its last process has ended. */
export async function waitUnplugged(index: number): Promise<void> {
  const port = portName(index);
  await waitUntil(() => !existsSync(`/sys/class/net/${port}`), UNPLUG_TIMEOUT_MS, `end of ${port}`);
}

function macOf(host: number): string {
  return `02:00:c0:a8:32:${host.toString(16).padStart(2, '0')}`;
}

function portName(index: number): string {
  return `ul-${index}`;
}

async function ipBatch(commands: readonly string[]): Promise<void> {
  await mustRun(['ip', '-batch', '-'], { input: `${commands.join('\n')}\n` });
}
