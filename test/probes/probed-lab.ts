// A lab whose agents probe each other: what a node reports, and how tests wait for it.

import { execFileSync, spawnSync } from 'node:child_process';
import type { Finding } from '../../flanneld/health/finding.ts';
import { fetchStatus, TIMEOUT_MS } from '../../flanneld/health/status/client.ts';
import type { StatusReport } from '../../flanneld/health/status/report.ts';
import { SUBNET_FILE } from '../lab/contract.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { slowed } from '../support/slowness.ts';

/** Far more than the twenty seconds that are promised on an idle machine. */
const PATIENCE_MS = 120_000;

export async function reportOf(node: LabNode): Promise<StatusReport> {
  return await fetchStatus(node.pathFromOutside(SUBNET_FILE), slowed(TIMEOUT_MS));
}

/** The findings of all nodes in the lab whose agents run. */
export async function findingsIn(lab: Lab): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const node of lab.nodes) {
    const { running } = await node.agent.state();
    if (running) found.push(...(await reportOf(node)).findings);
  }
  return found;
}

/** Waits until every node has probed all others and finds nothing wrong. */
export async function becomesHealthy(nodes: readonly LabNode[], peers: number): Promise<void> {
  const isHealthy = async (node: LabNode): Promise<boolean> => {
    const { findings, probes } = await reportOf(node);
    return findings.length === 0 && probes?.states.reachable === peers;
  };
  for (const node of nodes) await waitUntil(() => isHealthy(node), PATIENCE_MS, `nothing wrong on ${node.name}`);
}

/** Waits until a node has a finding with that id about a peer, and returns it. */
export async function finds(node: LabNode, id: string, peer?: string): Promise<Finding> {
  let found: Finding | undefined;
  const look = async (): Promise<boolean> => {
    const { findings } = await reportOf(node);
    found = findings.find((one) => one.id === id && one.peer === peer);
    return found !== undefined;
  };
  await waitUntil(look, PATIENCE_MS, `${id} about ${peer ?? 'no peer'} on ${node.name}`);
  return found as Finding;
}

/** Whether a node loses packets that it receives from the tunnel or that it sends. */
export type Direction = 'in' | 'out';

const TABLE = 'inet fault';

/** Drops packets at a node, by a rule like that of somebody else's firewall; `undo` removes all such rules. */
async function dropAt(node: LabNode, rules: Partial<Record<Direction, readonly string[]>>): Promise<void> {
  const chain = (name: Direction, hook: string): string =>
    `chain ${name} { type filter hook ${hook} priority -400; ${(rules[name] ?? []).join('; ')}; }`;
  const text = `table ${TABLE} {\n${chain('in', 'prerouting')}\n${chain('out', 'output')}\n}\n`;
  await node.run(['nft', '-f', '-'], { input: text });
}

/** Drops the tunnel's packets from (`in`) and to (`out`) a peer. */
export async function dropTunnel(node: LabNode, peer: LabNode, directions: readonly Direction[]): Promise<void> {
  await dropAt(node, {
    in: directions.includes('in') ? [`ip saddr ${peer.address} udp dport 8472 drop`] : [],
    out: directions.includes('out') ? [`ip daddr ${peer.address} udp dport 8472 drop`] : [],
  });
}

export async function undo(node: LabNode): Promise<void> {
  await node.run(['nft', 'delete', 'table', ...TABLE.split(' ')]);
}

/**
 * Drops packets in the network between the nodes, where no node can see the cause: the rules are at a node's port of the underlay, for
 * packets from that node. `undoInNetwork` removes them.
 */
export function dropInNetwork(lab: Lab, rules: readonly { readonly from: LabNode; readonly what: string }[]): void {
  const chains = rules.map(({ from, what }) => {
    const hook = `type filter hook ingress device ul-${from.index} priority 0`;
    return `chain from-${from.index} { ${hook}; ${what}; }`;
  });
  nftInNetwork(lab, `table ${NETWORK_TABLE} {\n${chains.join('\n')}\n}\n`);
}

export function undoInNetwork(lab: Lab): void {
  // The table is added first, so that deleting it succeeds even if there was none.
  nftInNetwork(lab, `add table ${NETWORK_TABLE}\ndelete table ${NETWORK_TABLE}\n`);
}

const NETWORK_TABLE = 'netdev fault';

function nftInNetwork(lab: Lab, script: string): void {
  const { status, stderr } = spawnSync('nsenter', [`--net=/proc/${lab.pid}/ns/net`, 'nft', '-f', '-'], {
    input: script,
  });
  if (status !== 0) throw new Error(`nft: ${stderr}`);
}

/** Spoils checksums of UDP in the tunnel on the way from one node to another, where the sender computes them. */
export async function spoilChecksums(lab: Lab, from: LabNode, to: LabNode): Promise<void> {
  await computeChecksums(from);
  // Inner IPv4 UDP with a checksum: bits from the outer UDP header (8 UDP, 8 VXLAN, 14 Ethernet, 20 IP, 6 to the checksum).
  const udp = '@th,312,8 17';
  const checksum = '@th,448,16';
  const what = `ip daddr ${to.address} udp dport 8472 ${udp} ${checksum} != 0 ${checksum} set 0xdead`;
  dropInNetwork(lab, [{ from, what }]);
}

/**
 * Does what `ethtool -K flannel.1 tx-checksum-ip-generic off` does (SIOCETHTOOL, ETHTOOL_STXCSUM). Otherwise veths never verify checksums.
 */
export async function computeChecksums(node: LabNode): Promise<void> {
  const program = [
    'import array, fcntl, socket, struct',
    's = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)',
    'value = array.array("B", struct.pack("II", 0x17, 0))',
    'fcntl.ioctl(s, 0x8946, struct.pack("16sP", b"flannel.1", value.buffer_info()[0]) + bytes(16))',
  ];
  await node.run(['python3', '-c', program.join('\n')]);
}

/** Limits the link to a node to two megabits a second, which has no effect until `floodLink`. Returns a function that removes the limit. */
export function narrowLink(lab: Lab, to: LabNode): () => void {
  const port = `ul-${to.index}`;
  const tc = (...words: readonly string[]): void =>
    void execFileSync('nsenter', [`--net=/proc/${lab.pid}/ns/net`, 'tc', 'qdisc', ...words]);
  tc('add', 'dev', port, 'root', 'tbf', 'rate', '2mbit', 'burst', '4kb', 'latency', '120ms');
  return () => tc('del', 'dev', port, 'root');
}

/** Sends somewhat more than two megabits a second to a node, so that its queue is full. Returns a function that stops it. */
export async function floodLink(from: LabNode, to: LabNode): Promise<() => Promise<void>> {
  const program = `const s = require("dgram").createSocket("udp4"), b = Buffer.alloc(1400), t0 = Date.now(); let sent = 0;
    setInterval(() => { while (sent < (Date.now() - t0) * 0.2) { s.send(b, 9, "${to.address}"); sent++; } }, 5);`;
  await from.run(['sh', '-c', `${process.execPath} -e '${program}' >/dev/null 2>&1 & echo $! > /run/flood`]);
  return async () => void (await from.exec(['sh', '-c', 'kill $(cat /run/flood); rm -f /run/flood']));
}
