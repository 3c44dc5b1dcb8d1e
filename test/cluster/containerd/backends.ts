// flannel's own cluster tests (test/UPSTREAM.md), case by case, on two nodes of each backend. A real containerd starts the pods.

import type { StatusReport } from '../../../flanneld/health/status/report.ts';
import type { JsonObject } from '../../lab/cni/conflist.ts';
import { SUBNET_FILE } from '../../lab/contract.ts';
import { type Lab, startLab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { subnetOf } from '../../lab/mesh.ts';
import { waitUntil } from '../../lab/processes.ts';
import { builtAgent } from '../../lab/programs.ts';
import { type Check, holds, same } from './check.ts';
import { compareRules, type Family, type Flavour } from './rules.ts';
import type { NodeChange, Site } from './site.ts';

export interface Backend {
  readonly name: string;
  readonly netConf: JsonObject;
  readonly flavour: Flavour;
  readonly isDual: boolean;
  readonly needsTun: boolean;
}

const NODES = [1, 2] as const;
const PINGS = 5;
const PEERS_MS = 30_000;
const FIRST_PING_MS = 10_000;
const IPERF_S = 2;

function backend(type: string, flavour: Flavour, isDual = false): Backend {
  const families = { EnableIPv6: true, IPv6Network: 'fd00:10:244::/56' };
  return {
    name: [type, ...(flavour === 'nftables' ? [flavour] : []), ...(isDual ? ['dual-stack'] : [])].join(', '),
    netConf: {
      Network: '10.244.0.0/16',
      ...(isDual && families),
      EnableNFTables: flavour === 'nftables',
      Backend: { Type: type },
    },
    flavour,
    isDual,
    needsTun: type === 'udp',
  };
}

export const backends: readonly Backend[] = [
  backend('vxlan', 'iptables'),
  backend('vxlan', 'nftables'),
  backend('host-gw', 'iptables'),
  backend('udp', 'iptables'),
  backend('vxlan', 'iptables', true),
  backend('vxlan', 'nftables', true),
  backend('host-gw', 'iptables', true),
];

/** Starts two nodes whose agents are peers of each other. As with flannel, the conflist exists from the start. */
export async function startBackend({ netConf, isDual }: Backend, options: NodeChange): Promise<Lab> {
  const lab = await startLab({ nodes: NODES.length, ...options, netConf, agent: { ...options.agent, start: false } });
  for (const node of lab.nodes) {
    if (isDual) await addIpv6Underlay(node);
    await node.agent.start();
  }
  for (const node of lab.nodes) await node.agent.ready();
  for (const node of lab.nodes) await untilPeers(node);
  return lab;
}

async function addIpv6Underlay(node: LabNode): Promise<void> {
  await node.run(['ip', 'address', 'add', `fd50::${10 + node.index}/64`, 'dev', 'eth0', 'nodad']);
  await node.run(['ip', '-6', 'route', 'add', 'default', 'via', 'fd50::1']);
}

/** Waits until the node has the other one as a peer in every family. */
async function untilPeers(node: LabNode): Promise<void> {
  const argv = [process.execPath, builtAgent, 'status', '--json', `--subnet-file=${SUBNET_FILE}`];
  const hasPeers = async (): Promise<boolean> => {
    const { overlays } = JSON.parse((await node.exec(argv)).stdout) as StatusReport;
    return overlays.length > 0 && overlays.every(({ peers }) => peers.programmed === NODES.length - 1);
  };
  await waitUntil(hasPeers, PEERS_MS, `the peer of ${node.name}`);
}

/** Pings between the pods `one` and `two`, on nodes 1 and 2. After the first answer, every ping must be answered. */
async function pingBothWays(site: Site): Promise<void> {
  for (const [from, to] of [['one', 'two'] as const, ['two', 'one'] as const]) {
    for (const ip of await site.addresses(to)) {
      const pod = site.pod(from);
      const isAnswered = (): Promise<boolean> =>
        pod.ping(ip).then(
          () => true,
          () => false,
        );
      // The reference's bridge cannot use its IPv6 address in the first second or two, because of duplicate address detection.
      await waitUntil(isAnswered, FIRST_PING_MS, `an answer of ${ip} to ${from}`);
      await pod.ping(ip, PINGS);
    }
  }
}

/** Runs iperf3 from pod `one` to pod `two` with their nodes' program. Resolves with the number of bytes that arrived. */
async function transfer(site: Site): Promise<number> {
  const iperf = async (index: 1 | 2, name: string, script: string): Promise<string> => {
    const { netns } = await site.sandboxPlace(name);
    return await site.node(index).run(['nsenter', `--net=${netns}`, 'timeout', '20', 'sh', '-c', script]);
  };
  // Retried until the server listens, because a refused connection costs nothing.
  const call = `iperf3 --client ${site.pod('two').ip} --time ${IPERF_S} --connect-timeout 2000`;
  const [served] = await Promise.all([
    iperf(2, 'two', 'iperf3 --server --one-off --json'),
    iperf(1, 'one', `until ${call}; do sleep 0.1; done`),
  ]);
  const { end } = JSON.parse(served) as { end: { sum_received: { bytes: number } } };
  return end.sum_received.bytes;
}

export function backendChecks({ flavour, isDual }: Backend): readonly Check<Site>[] {
  const families: readonly Family[] = isDual ? [4, 6] : [4];
  return [
    {
      name: 'every node has a subnet of the network, and pods of it in every family',
      run: async (site) => {
        for (const index of NODES) {
          const name = index === 1 ? 'one' : 'two';
          await site.run(index, name);
          holds(subnetOf(site.node(index)) !== undefined, `no FLANNEL_SUBNET on node ${index}`);
          same(
            'families',
            (await site.addresses(name)).map((ip) => (ip.includes(':') ? 6 : 4)),
            families,
          );
        }
      },
    },
    {
      name: `two pods on different nodes ping each other ${PINGS} times, both ways`,
      needs: ['underlay'],
      run: pingBothWays,
    },
    ...families.map(
      (family): Check<Site> => ({
        name: `the rules of IPv${family} in ${flavour} are these, line by line`,
        needs: ['rules'],
        run: async (site) => {
          const { found, wanted } = await compareRules(site.node(1), flavour, family);
          same('rules', found, wanted);
        },
      }),
    ),
    {
      name: `iperf3 carries data from one node’s pod to the other’s for ${IPERF_S} s`,
      needs: ['underlay'],
      run: async (site) => holds((await transfer(site)) > 0, 'nothing arrived'),
    },
    {
      name: 'a pod that is deleted and made again on its node is reached, both ways',
      needs: ['underlay'],
      run: async (site) => {
        await site.end('one');
        await site.run(1, 'one');
        await pingBothWays(site);
      },
    },
    {
      name: 'agents restarted one after the other keep their subnets, and the pods still ping',
      needs: ['underlay'],
      run: async (site) => {
        const files = (): string[] => NODES.map((index) => site.node(index).readFile(SUBNET_FILE));
        const before = files();
        for (const index of NODES) {
          await site.node(index).agent.stop();
          await site.node(index).agent.start();
          await site.node(index).agent.ready();
          await untilPeers(site.node(index));
        }
        same('subnet.env', files(), before);
        await pingBothWays(site);
      },
    },
  ];
}
