// flanneld's functional tests on etcd, as flannel runs them: TLS with client certificates, and two nodes. On each node a device has the
// first address of the node's subnet, and the other node pings it. flannel uses a dummy device. Here it is a bridge, because
// some kernels have no dummy devices, while any node with pods has a bridge.

import { existsSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type Lab, startLab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { failed } from '../../lab/matrix.ts';
import { waitUntil } from '../../lab/processes.ts';
import { builtAgent, requireBuilt } from '../../lab/programs.ts';
import { type EtcdCluster, startEtcd } from '../../support/etcd.ts';
import { hasTun, tunNeeded } from '../../support/has-tun.ts';
import { needs } from '../../support/needs.ts';
import { startRelay } from '../../support/netns-relay.ts';
import { makeEtcdSite } from './etcd-site.ts';

const LOOK_MS = 30_000;
const PINGS = 3;

let etcd: EtcdCluster;
let lab: Lab;
beforeAll(async () => {
  etcd = await startEtcd({ members: 1, tls: true });
});
afterAll(async () => await etcd?.stop());
beforeEach(async () => {
  lab = await startLab({ nodes: 2, agent: false, conflist: false });
  onTestFinished(() => lab.down());
  for (const node of lab.nodes) {
    const [member] = etcd.members;
    if (member === undefined) throw new Error('no member');
    onTestFinished(await startRelay(node.pid, member.url));
  }
});

/** Starts an agent on each node. Resolves with the address of each node's bridge. */
async function startOverlay(name: string, network: string, type: string): Promise<string[]> {
  const site = await makeEtcdSite(etcd, { Network: network, Backend: { Type: type } });
  for (const node of lab.nodes) await startAgent(node, name, site.prefix);
  return await Promise.all(lab.nodes.map((node) => addBridge(node, name)));
}

async function startAgent(node: LabNode, name: string, prefix: string): Promise<void> {
  const { caFile, certFile, keyFile } = etcd.tls;
  const flags = [
    `--etcd-endpoints=${etcd.endpoints.join()}`,
    `--etcd-prefix=${prefix}`,
    `--etcd-cafile=${caFile}`,
    `--etcd-certfile=${certFile}`,
    `--etcd-keyfile=${keyFile}`,
    `--subnet-file=${subnetFile(name)}`,
    '--iface=eth0',
    '--ip-masq',
  ];
  const script = `exec setsid "$@" >/run/${name}.log 2>&1 </dev/null &`;
  await node.run(['sh', '-c', script, 'sh', requireBuilt(builtAgent), ...flags]);
}

function subnetFile(name: string): string {
  return `/run/flannel/${name}.env`;
}

/** Waits until the agent has written FLANNEL_SUBNET and creates a bridge with that address. */
async function addBridge(node: LabNode, name: string): Promise<string> {
  const file = subnetFile(name);
  const isThere = (): boolean => existsSync(node.pathFromOutside(file));
  await waitUntil(isThere, LOOK_MS, `${file} on ${node.name}`).catch((error: Error) => {
    throw new Error(`${error.message}\n${node.readFile(`/run/${name}.log`).slice(-2000)}`);
  });
  const [, address, length] = /^FLANNEL_SUBNET=(.*)\/(\d+)$/m.exec(node.readFile(file)) ?? [];
  if (address === undefined) throw new Error(`no FLANNEL_SUBNET in ${file} of ${node.name}`);
  await node.run(['ip', 'link', 'add', name, 'type', 'bridge']);
  await node.run(['ip', 'link', 'set', name, 'up']);
  await node.run(['ip', 'address', 'add', `${address}/${length}`, 'dev', name]);
  return address;
}

/** Waits until the nodes know each other, then expects an answer to each of a few pings, in both directions. */
async function pingBothWays(addresses: readonly string[]): Promise<void> {
  for (const [at, node] of lab.nodes.entries()) {
    const far = addresses[1 - at] ?? '';
    const answers = async (): Promise<boolean> => failed(await node.ping([far])).length === 0;
    await waitUntil(answers, LOOK_MS, `${far} from ${node.name}`);
    expect(failed(await node.ping(Array<string>(PINGS).fill(far)))).toEqual([]);
  }
}

/** The number of packets that the first node has sent through a device. */
async function sent(device: string): Promise<number> {
  const [link] = JSON.parse((await lab.nodes[0]?.run(['ip', '-j', '-s', 'link', 'show', 'dev', device])) ?? '[]');
  return link.stats64.tx.packets;
}

describe('two agents on an etcd with TLS and client certificates', () => {
  test.for(['vxlan', 'host-gw', 'udp'])('%s: each node’s subnet is reached from the other', async (type) => {
    needs.machine(type !== 'udp' || hasTun, tunNeeded);
    await pingBothWays(await startOverlay('one', '10.11.0.0/16', type));
  });

  test('two overlays on the same nodes: each is reached, and by its own device', async () => {
    const tunnelled = await startOverlay('one', '10.11.0.0/16', 'vxlan');
    const routed = await startOverlay('two', '10.12.0.0/16', 'host-gw');
    await pingBothWays(tunnelled);
    await pingBothWays(routed);
    const through = async (addresses: readonly string[]): Promise<boolean> => {
      const before = await sent('flannel.1');
      await lab.nodes[0]?.ping([addresses[1] ?? '']);
      return (await sent('flannel.1')) > before;
    };
    expect([await through(tunnelled), await through(routed)]).toEqual([true, false]);
  });
});
