// Measures one agent on a lab node of its own: from its start until the kernel has every peer, and then while Nodes change. Its
// only path to the API server is a relay that counts bytes.

import { setTimeout as sleep } from 'node:timers/promises';
import { formatPrefix } from '../../lib/ip.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { openNetlink } from '../../lib/netlink/connection.ts';
import { getLink } from '../../lib/rtnetlink/link.ts';
import { listRoutes } from '../../lib/rtnetlink/route.ts';
import { RT_TABLE_MAIN } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { closeFd } from '../../lib/sys/file.ts';
import { inNetns, openNetns } from '../../lib/sys/netns.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { agentPid, cpuTreeMs, memoryKib } from '../../test/faults/agent-process.ts';
import { NET_CONF_FILE, SUBNET_FILE, UNDERLAY_DEVICE } from '../../test/lab/contract.ts';
import type { LabNode } from '../../test/lab/lab-node.ts';
import { waitUntil } from '../../test/lab/processes.ts';
import { HEALTH_FLAGS, writeLauncher } from '../../test/lab/support/launcher-script.ts';
import { startRelay } from '../../test/support/netns-relay.ts';
import { subnetOf } from '../peers/overlay.ts';
import { answerTo, routeToPeers } from '../probes/probed-lab.ts';
import type { NodesCluster } from './api-server.ts';

const DEVICE = 'flannel.1';
const PROGRAM_LIMIT_MS = 180_000;
const FOLLOW_LIMIT_MS = 10_000;
/** Within this time the engine has collected the garbage of the start. */
const SETTLE_MS = 12_000;
const LOOK_MS = 50;

/** `silent` is our agent without probes, as flannel's has none. */
export type AgentKey = 'weft' | 'silent' | 'flannel';

export interface Contender {
  readonly key: AgentKey;
  readonly name: string;
  readonly file: string;
  /** Flags that only this one gets. */
  readonly flags: readonly string[];
  readonly node: LabNode;
  /** The number of its Node. */
  readonly number: number;
}

export interface Surroundings {
  readonly cluster: NodesCluster;
  /** Stands in for all other Nodes. */
  readonly crowd: LabNode;
  readonly sys: Syscalls;
}

/** What was measured in one run of an agent. */
export interface Run {
  /** From its start until the kernel has a route to every peer. */
  readonly programmedMs: number;
  readonly startProcessorMs: number;
  readonly startBytes: number;
  /** The largest resident memory up to that moment. */
  readonly peakMb: number;
  /** Resident memory at the end. `anonymousMb` is the part of it that no file backs and that is not shared. */
  readonly residentMb: number;
  readonly anonymousMb: number;
  readonly processorMsPerSec: number;
  readonly bytesPerSec: number;
}

/** Runs the agent on a node that has just booted. Rejects when it does not program all peers or does not follow changes. */
export async function runAgent(
  { file, node, name, number, flags }: Contender,
  { cluster, crowd, sys }: Surroundings,
  changeMs: number,
): Promise<Run> {
  await node.reboot();
  await routeToPeers(crowd, node);
  let bytes = 0;
  const stopRelay = await startRelay(node.pid, cluster.server.url, (length) => {
    bytes += length;
  });
  const netlink = netlinkIn(sys, node);
  try {
    writeLauncher(node, [file, ...flagsFor(cluster), ...flags]);
    const startedAt = performance.now();
    await node.agent.start();
    const pid = await agentPid(node);
    const mac = await macOf(netlink, name);
    await answerTo(crowd, node, { subnet: formatPrefix(subnetOf(number)), mac });
    const peers = cluster.count - 1;
    const isProgrammed = async (): Promise<boolean> => {
      await sleep(LOOK_MS);
      return routes(netlink) >= peers;
    };
    await waitUntil(isProgrammed, PROGRAM_LIMIT_MS, `${name}: routes to ${peers} peers`);
    const programmedMs = performance.now() - startedAt;
    await sleep(SETTLE_MS);
    const [startProcessorMs, startBytes] = [cpuTreeMs(pid), bytes];
    const peakMb = megabytes(pid, 'VmHWM');
    const movedTo = await cluster.change(changeMs);
    const processorMsPerSec = ((cpuTreeMs(pid) - startProcessorMs) / changeMs) * 1000;
    const bytesPerSec = ((bytes - startBytes) / changeMs) * 1000;
    const follows = async (): Promise<boolean> => movedTo === '' || (await destinations(node)).includes(`${movedTo} `);
    await waitUntil(follows, FOLLOW_LIMIT_MS, `${name}: FDB entry of the Node that moved to ${movedTo}`);
    const [residentMb, anonymousMb] = [megabytes(pid, 'VmRSS'), megabytes(pid, 'RssAnon')];
    return {
      programmedMs,
      startProcessorMs,
      startBytes,
      peakMb,
      residentMb,
      anonymousMb,
      processorMsPerSec,
      bytesPerSec,
    };
  } finally {
    netlink.close();
    await node.agent.stop();
    await stopRelay();
  }
}

function flagsFor({ server }: NodesCluster): string[] {
  return [
    '--kube-subnet-mgr',
    `--kubeconfig-file=${server.agentKubeconfig}`,
    `--net-config-path=${NET_CONF_FILE}`,
    `--subnet-file=${SUBNET_FILE}`,
    `--iface=${UNDERLAY_DEVICE}`,
    '--ip-masq',
    ...HEALTH_FLAGS,
  ];
}

/** A netlink connection into the node. A socket stays in the network namespace in which it was created. */
function netlinkIn(sys: Syscalls, node: LabNode): Netlink {
  const netns = openNetns(sys, `/proc/${node.pid}/ns/net`);
  try {
    return inNetns(sys, netns, () => openNetlink(sys));
  } finally {
    closeFd(sys, netns);
  }
}

/** The MAC of the agent's tunnel device, as soon as it has one. */
async function macOf(netlink: Netlink, name: string): Promise<string> {
  let mac: string | undefined;
  const isThere = async (): Promise<boolean> => {
    await sleep(LOOK_MS);
    mac = getLink(netlink, { name: DEVICE })?.mac;
    return mac !== undefined;
  };
  await waitUntil(isThere, PROGRAM_LIMIT_MS, `${name}: its device`);
  return mac ?? '';
}

/** The number of routes to peers in the kernel. */
function routes(netlink: Netlink): number {
  const oif = getLink(netlink, { name: DEVICE })?.index;
  if (oif === undefined) return 0;
  return listRoutes(netlink, { family: 4, oif, table: RT_TABLE_MAIN }).filter(
    ({ nexthopId, gateway }) => nexthopId !== undefined || gateway !== undefined,
  ).length;
}

/** The underlay addresses of the peers: the FDB entries, one on each line. */
async function destinations(node: LabNode): Promise<string> {
  return await node.run(['bridge', 'fdb', 'show', 'dev', DEVICE]);
}

function megabytes(pid: number, what: 'VmRSS' | 'RssAnon' | 'VmHWM'): number {
  return (memoryKib(pid, what) * 1024) / 1e6;
}
