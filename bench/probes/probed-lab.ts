// A lab node that stands in for thousands of peers of the agents on other nodes. Its kernel has the peers' addresses, in the underlay and
// in the tunnel, and a program on it answers probes (crowd.ts).

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { leaseFileName } from '../../flanneld/subnet/lease-dir.ts';
import { renderLeaseFile } from '../../flanneld/subnet/lease-file.ts';
import { formatIp } from '../../lib/ip.ts';
import type { JsonObject } from '../../test/lab/cni/conflist.ts';
import type { Lab } from '../../test/lab/lab.ts';
import type { LabNode } from '../../test/lab/lab-node.ts';
import { labPrograms } from '../../test/lab/programs.ts';
import { readLease } from '../../test/lab/support/leases.ts';
import { DEVICE, leaseOf, netConf, PORT, publicIpOf, VNI } from '../peers/overlay.ts';
import type { CrowdSpec } from './crowd-spec.ts';

/** The agents' port for probes without a flag. */
const PROBE_PORT = 8477;
/** The made-up peers' subnets lie in the first half of the network, and the agents' own in the other. */
const PEERS_SUBNETS = '10.64.0.0/11';
const PEERS_ADDRESSES = '172.16.0.0/16';

/** The net-conf.json of the nodes with agents. */
export const probesNetConf: JsonObject = { ...JSON.parse(netConf), SubnetMin: '10.96.0.0', SubnetMax: '10.127.255.0' };

/** Publishes the leases of `count` made-up peers, for all agents of the lab. */
export function publishPeers(lab: Lab, count: number): void {
  for (let node = 1; node <= count; node++) {
    const [key, lease] = leaseOf(node);
    const path = join(lab.leaseFolder, leaseFileName(key));
    writeFileSync(`${path}.new`, renderLeaseFile(lease));
    renameSync(`${path}.new`, path);
  }
}

/**
 * Gives a node the addresses of all made-up peers and their end of the tunnel. It accepts packets to any peer's MAC, because one device
 * stands in for all peers' devices.
 */
export async function prepareCrowd(node: LabNode): Promise<void> {
  // The tunnel's packets have a peer's address, so that no agent counts them as a stranger's.
  const local = formatIp(publicIpOf(1));
  const vxlan = ['type', 'vxlan', 'id', `${VNI}`, 'dstport', `${PORT}`, 'local', local, 'nolearning'];
  await node.run(['ip', 'route', 'add', 'local', PEERS_ADDRESSES, 'dev', 'lo']);
  await node.run(['ip', 'route', 'add', 'local', PEERS_SUBNETS, 'dev', 'lo']);
  await node.run(['ip', 'link', 'add', DEVICE, 'mtu', '1450', ...vxlan]);
  await node.run(['ip', 'link', 'set', DEVICE, 'up']);
  const take = `add chain netdev bench in { type filter hook ingress device "${DEVICE}" priority 0; meta pkttype set host; }`;
  await node.run(['nft', '-f', '-'], { input: `add table netdev bench\n${take}\n` });
}

/** Makes the node that stands in for the peers and a node with an agent reach each other. The agent must have its lease. */
export async function connect(lab: Lab, crowd: LabNode, agent: LabNode): Promise<void> {
  await routeToPeers(crowd, agent);
  await answerTo(crowd, agent, readLease(lab, agent.name));
}

/** Leads packets of a node's tunnel to the node that stands in for the peers. */
export async function routeToPeers(crowd: LabNode, agent: LabNode): Promise<void> {
  await agent.run(['ip', 'route', 'replace', PEERS_ADDRESSES, 'via', crowd.address]);
}

/** Lets the node that stands in for the peers send to the tunnel device of a node with an agent. */
export async function answerTo(
  crowd: LabNode,
  agent: LabNode,
  { subnet, mac }: { readonly subnet: string; readonly mac: string },
): Promise<void> {
  const [base = ''] = subnet.split('/');
  await crowd.run(['ip', 'neigh', 'replace', base, 'lladdr', mac, 'dev', DEVICE, 'nud', 'permanent']);
  await crowd.run(['bridge', 'fdb', 'replace', mac, 'dev', DEVICE, 'dst', agent.address, 'self', 'permanent']);
  // In the table `local`, because the subnet may lie among those of the peers.
  await crowd.run(['ip', 'route', 'replace', subnet, 'dev', DEVICE, 'table', 'local']);
}

/** Starts the program that stands in for the peers `first` to `last`. Resolves when it answers; it ends with this process. */
export async function startCrowd(node: LabNode, first: number, last: number): Promise<{ stop(): void }> {
  const spec: CrowdSpec = { first, last, port: PROBE_PORT };
  const program = join(await labPrograms(), 'probes-crowd.mjs');
  const inside = ['nsenter', `--net=/proc/${node.pid}/ns/net`, '--', process.execPath, program, JSON.stringify(spec)];
  const crowd = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...inside], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  crowd.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const ready = once(crowd.stdout, 'data').then(() => true);
  if (!(await Promise.race([ready, once(crowd, 'close').then(() => false)]))) {
    throw new Error(`the program that stands in for peers has ended: ${said.trim()}`);
  }
  return { stop: () => crowd.kill('SIGKILL') };
}
