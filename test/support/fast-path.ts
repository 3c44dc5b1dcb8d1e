// Shared by tests of the fast path: lab nodes that have it, their agents' reports about it, and the programs' counters.

import { onTestFinished } from 'vitest';
import { ClsactFilters } from '../../flanneld/fastpath/clsact-filters.ts';
import { LINK_PIN } from '../../flanneld/fastpath/pins.ts';
import { readCounters } from '../../flanneld/fastpath/programs/counters.ts';
import { allowFor } from '../../flanneld/fastpath/programs/deadline.ts';
import { countersMap, stateMap } from '../../flanneld/fastpath/programs/layout.ts';
import type { Reason } from '../../flanneld/fastpath/programs/reasons.ts';
import { hasTcx } from '../../flanneld/fastpath/tcx-links.ts';
import type { FastPathStatus } from '../../flanneld/health/status/report.ts';
import { tryBpf } from '../../lib/bpf/bpf-call.ts';
import { listPrograms } from '../../lib/bpf/bpf-link.ts';
import { listElements } from '../../lib/bpf/map.ts';
import { openPinned } from '../../lib/bpf/pin.ts';
import { possibleProcessors } from '../../lib/bpf/processors.ts';
import { formatIp, ipFromBytes, ipToBytes, parseIp } from '../../lib/ip.ts';
import { openNetlink } from '../../lib/netlink/connection.ts';
import { nearMap, podsMap, readNear } from '../../lib/pods/fast-path-pods.ts';
import { listLinks } from '../../lib/rtnetlink/link.ts';
import { closeFd, listDir } from '../../lib/sys/file.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { inNetns, openNetns } from '../../lib/sys/netns.ts';
import { check } from '../../lib/sys/sys-error.ts';
import { askArgv, type Inside, startServer } from '../cni/conformance/traffic.ts';
import { type Lab, type LabOptions, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { waitUntil } from '../lab/processes.ts';
import { statusReport } from '../lab/support/status.ts';

export const PINS = '/sys/fs/bpf/weft';
/** A rule of an administrator that could match the tunnel's packets. With it programs of `full` leave them to the device. */
export const INPUT_RULE =
  'table inet admin { chain input { type filter hook input priority 0; ip saddr 192.0.2.1 drop; } }';
const BPF_LINK_DETACH = 34;
const sys = openKoffiSyscalls();

export interface FastLabOptions extends Pick<LabOptions, 'netConf' | 'pluginFolder'> {
  readonly mode?: 'redirect' | 'full';
  /** The agent's executable; the built one when absent. */
  readonly agentFile?: string;
  readonly agentEnv?: Record<string, string>;
  /** Called on each node before its agent starts. */
  readonly prepare?: (node: LabNode) => Promise<unknown>;
  /** Whether to wait until the fast path is on; true when absent. */
  readonly isOn?: boolean;
}

/** Two nodes with two pods and a bpffs each. The fast path is on for all pods when this resolves. */
export async function startFastLab(given: FastLabOptions = {}): Promise<Lab> {
  const { agentFile, agentEnv = {}, mode = 'redirect', prepare, isOn = true, ...options } = given;
  const file = agentFile === undefined ? {} : { file: agentFile };
  const agent = { ...file, env: agentEnv, args: [`--fast-path=${mode}`], start: false };
  const lab = await startLab({ nodes: 2, agent, ...options });
  try {
    for (const node of lab.nodes) {
      await node.run(['mount', '-t', 'bpf', 'bpf', '/sys/fs/bpf']);
      await prepare?.(node);
      await node.agent.start();
    }
    for (const node of lab.nodes) await node.agent.ready();
    for (const node of lab.nodes) for (let pod = 0; pod < 2; pod++) await node.addPod();
    for (const node of lab.nodes) if (isOn) await untilOn(node);
    return lab;
  } catch (error) {
    await lab.down();
    throw error;
  }
}

export async function fastPathOf(node: LabNode): Promise<FastPathStatus> {
  const { fastPath } = await statusReport(node);
  if (fastPath === undefined) throw new Error(`${node.name} has no fast path`);
  return fastPath;
}

/** Waits until the fast path is on for all pods of the node and its peer. */
export async function untilOn(node: LabNode): Promise<void> {
  const isOn = async (): Promise<boolean> => {
    const { on, pods, peers } = await fastPathOf(node);
    return on && pods === node.pods.length && peers === 1;
  };
  await waitUntil(isOn, 20_000, `the fast path of ${node.name}`);
}

/** Waits until the programs of a node with `full` encapsulate and decapsulate. */
export async function untilFull(node: LabNode): Promise<void> {
  await untilOn(node);
  const isFull = async (): Promise<boolean> => (await fastPathOf(node)).notFull === undefined;
  await waitUntil(isFull, 20_000, `the programs of ${node.name} to encapsulate`);
}

/** Waits until the programs of a node with `full` only redirect. */
export async function untilRedirect(node: LabNode, reason: RegExp): Promise<void> {
  const isRedirect = async (): Promise<boolean> => {
    const { on, notFull = '' } = await fastPathOf(node);
    return on && reason.test(notFull);
  };
  await waitUntil(isRedirect, 20_000, `${node.name} to leave encapsulation to the tunnel’s device`);
}

export async function untilOff(node: LabNode, reason: RegExp): Promise<void> {
  const isOff = async (): Promise<boolean> => {
    const { on, reason: why = '' } = await fastPathOf(node);
    return !on && reason.test(why);
  };
  await waitUntil(isOff, 20_000, `${node.name} to leave the fast path`);
}

/** The programs' counters on a node, read from the kernel, so that no agent is needed. */
export function counted(node: LabNode): Map<Reason, number> {
  return withPin(node, 'counters', (fd) => readCounters(sys, { fd, spec: countersMap }, possibleProcessors(sys)));
}

/** Lets the programs of a node go on for ten minutes. Its agent must be dead, because it would set a nearer time. */
export function keepAlive(node: LabNode): void {
  withPin(node, 'state', (fd) => allowFor(sys, { fd, spec: stateMap }, 600_000));
}

/** Calls `body` with the descriptor of an object that the node's agent has pinned. */
export function withPin<T>(node: LabNode, name: string, body: (fd: number) => T): T {
  const fd = openPinned(sys, node.pathFromOutside(`${PINS}/${name}`));
  if (fd === undefined) throw new Error(`${node.name} has no pin ${name}`);
  try {
    return body(fd);
  } finally {
    closeFd(sys, fd);
  }
}

/** The names of the pins of a node's links. */
export function linkPins(node: LabNode): string[] {
  return (listDir(sys, node.pathFromOutside(PINS)) ?? []).filter((name) => LINK_PIN.test(name));
}

/** Detaches a link's program from its device, as somebody with the right could do. Returns 0 or −errno. */
export function detachLink(fd: number): number {
  return tryBpf(sys, BPF_LINK_DETACH, (attr) => attr.setU32(0, fd));
}

/** The devices of a node that have a program for packets that arrive. */
export function devicesWithPrograms({ pid }: LabNode): string[] {
  const netns = openNetns(sys, `/proc/${pid}/ns/net`);
  try {
    return inNetns(sys, netns, () => {
      const netlink = openNetlink(sys);
      try {
        const filters = new ClsactFilters(netlink).list();
        const isUsed = (index: number): boolean =>
          filters.has(index) || (hasTcx(sys) && listPrograms(sys, index, 'ingress').length > 0);
        return listLinks(netlink).flatMap(({ index, name }) => (isUsed(index) ? [name] : []));
      } finally {
        netlink.close();
      }
    });
  } finally {
    closeFd(sys, netns);
  }
}

/** Detaches every program of the node. `devices` are those that have one; only filters of clsact need them. */
export async function detachAll(node: LabNode, devices: readonly string[]): Promise<void> {
  if (hasTcx(sys)) for (const pin of linkPins(node)) check(withPin(node, pin, detachLink), 'bpf detach', pin);
  else for (const dev of devices) await node.run(['tc', 'qdisc', 'del', 'dev', dev, 'clsact']);
}

/** How much the counter of a reason on a node has grown since `before`. */
export function since(node: LabNode, before: ReadonlyMap<Reason, number>, reason: Reason): number {
  return (counted(node).get(reason) ?? 0) - (before.get(reason) ?? 0);
}

/** The addresses of pods in a node's map, read from the kernel. */
export function podsInMap(node: LabNode): string[] {
  const elements = withPin(node, 'pods4', (fd) => listElements(sys, { fd, spec: podsMap(4) }));
  return elements.map(({ key }) => formatIp(ipFromBytes(key)));
}

/** Whether the program at pods' veths finds an address without the map of pods. */
export function isNear(node: LabNode, ip: string): boolean {
  const near = withPin(node, 'near4', (fd) => readNear(sys, { fd, spec: nearMap }, ipToBytes(parseIp(ip))));
  return near !== undefined && formatIp(ipFromBytes(near.address)) === ip;
}

/** Makes the next pod of the node get this address, which must be free. */
export function giveNext(node: LabNode, ip: string): void {
  const { family, value } = parseIp(ip);
  node.writeFile('/var/lib/cni/networks/cbr0/last_reserved_ip.0', formatIp({ family, value: value - 1n }));
}

const inside =
  (pod: LabPod): Inside =>
  (argv) => ['nsenter', `--net=${pod.netnsFromOutside}`, ...argv];

/** Starts a server in the pod that answers `NAME@ADDRESS` with the client's address, at port 80. It ends with the test. */
export async function serve(pod: LabPod): Promise<void> {
  const server = await startServer(inside(pod), `${pod.name}@`, 80);
  onTestFinished(() => server.stop());
}

/** The answer that a pod receives; empty without one. */
export async function ask(pod: LabPod, protocol: 'tcp' | 'udp', address: string, port = 80): Promise<string> {
  return (await pod.exec(askArgv({ protocol, address, port }))).stdout;
}

/** Adds a table; nft needs a line end between the last two braces. */
export async function addTable(node: LabNode, table: string): Promise<void> {
  await node.run(['nft', table.replace(/} *}$/, '}\n}')]);
}

/** The pods of a node. */
export function podsOf(node: LabNode): readonly [LabPod, LabPod] {
  const [first, second] = node.pods;
  if (first === undefined || second === undefined) throw new Error(`${node.name} has no two pods`);
  return [first, second];
}
