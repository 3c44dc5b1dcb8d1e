// The paths that are compared: between two pods through the overlay; between the same pods by a plain route without the tunnel, with the
// same veth pairs, bridges and MTU; and between the nodes themselves.

import type { LabNode } from '../../test/lab/lab-node.ts';
import type { LabPod } from '../../test/lab/lab-pod.ts';

export interface Path {
  readonly key: 'overlay' | 'routed' | 'node';
  readonly name: string;
  /** The paths, for this process, of the two ends' network namespaces, and their addresses. */
  readonly client: { readonly netns: string; readonly ip: string };
  readonly server: { readonly netns: string; readonly ip: string };
}

/** The prefix of the pods' second addresses, which lie outside the overlay's network. */
const ROUTED = '10.99';
const CHECKED_PACKETS = 20;

/** Gives the pods their second addresses and the nodes the routes to them. */
export async function makePaths(nodes: readonly [LabNode, LabNode], pods: readonly [LabPod, LabPod]): Promise<Path[]> {
  for (const [index, node] of nodes.entries()) {
    const [pod, other] = index === 0 ? pods : [pods[1], pods[0]];
    const peer = nodes[1 - index];
    if (peer === undefined || other === undefined) continue;
    await podRun(pod, ['ip', 'address', 'add', `${routedIp(index)}/32`, 'dev', 'eth0']);
    await node.run(['ip', 'route', 'add', routedIp(index), 'dev', 'cni0']);
    await node.run(['ip', 'route', 'add', routedIp(1 - index), 'via', peer.address]);
  }
  const [client, server] = pods;
  const pair = (of: (index: 0 | 1) => { netns: string; ip: string }) => ({ client: of(0), server: of(1) });
  const netns = [client.netnsFromOutside, server.netnsFromOutside] as const;
  return [
    {
      key: 'overlay',
      name: 'pod to pod, VXLAN',
      ...pair((index) => ({ netns: netns[index], ip: pods[index].ip })),
    },
    {
      key: 'routed',
      name: 'pod to pod, routed without a tunnel',
      ...pair((index) => ({ netns: netns[index], ip: routedIp(index) })),
    },
    {
      key: 'node',
      name: 'node to node',
      ...pair((index) => ({ netns: `/proc/${nodes[index].pid}/ns/net`, ip: nodes[index].address })),
    },
  ];
}

/** Throws unless a path's packets take the tunnel, or avoid it, as its name says. */
export async function checkPath(node: LabNode, client: LabPod, { key, name, server }: Path): Promise<void> {
  const sent = async (): Promise<number> =>
    Number(await node.run(['cat', '/sys/class/net/flannel.1/statistics/tx_packets']));
  const before = await sent();
  const pinger = key === 'node' ? node : client;
  const answers = await pinger.ping(Array.from({ length: CHECKED_PACKETS }, () => server.ip));
  const failure = answers.find((answer) => answer.failure !== undefined)?.failure;
  if (failure !== undefined) throw new Error(`${name}: ${failure}`);
  // Half of the packets is enough to decide: from time to time the kernel itself sends a packet through the tunnel.
  const tunnelled = (await sent()) - before >= CHECKED_PACKETS / 2;
  if (tunnelled !== (key === 'overlay'))
    throw new Error(`${name}: packets ${tunnelled ? '' : 'do not '}take the tunnel`);
}

function routedIp(index: number): string {
  return `${ROUTED}.${index + 1}.2`;
}

async function podRun(pod: LabPod, argv: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await pod.exec(argv);
  if (exitCode !== 0) throw new Error(`${argv.join(' ')} in ${pod.name}: ${stderr.trim()}`);
}
