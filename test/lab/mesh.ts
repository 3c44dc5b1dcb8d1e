// Waits until a lab's overlay is complete: every node with a subnet has a way to the subnet of every other node.

import { existsSync } from 'node:fs';
import { formatPrefix, networkOf, parsePrefix } from '../../lib/ip.ts';
import { SUBNET_FILE } from './contract.ts';
import type { LabNode } from './lab-node.ts';
import { waitUntil } from './processes.ts';

/** Returns the node's subnet from its subnet.env, such as `10.244.1.0/24`; undefined when it has none. */
export function subnetOf(node: LabNode): string | undefined {
  if (!existsSync(node.pathFromOutside(SUBNET_FILE))) return undefined;
  const text = /^FLANNEL_SUBNET=(.*)$/m.exec(node.readFile(SUBNET_FILE))?.[1];
  return text === undefined ? undefined : formatPrefix(networkOf(parsePrefix(text)));
}

/**
 * Rejects with an OpError (ETIMEDOUT) that names a node and the subnet to which it has no route, when it takes longer than
 * `timeoutMs`.
 */
export async function waitForMesh(nodes: readonly LabNode[], timeoutMs = 10_000): Promise<void> {
  for (const node of nodes) {
    const others = nodes.filter((other) => other !== node).flatMap((other) => subnetOf(other) ?? []);
    for (const subnet of others) {
      await waitUntil(() => hasRoute(node, subnet), timeoutMs, `route to ${subnet} on ${node.name}`);
    }
  }
}

/** WireGuard routes the whole network to its device, which has a list of each peer's subnets. */
async function hasRoute(node: LabNode, subnet: string): Promise<boolean> {
  if ((await node.run(['ip', 'route', 'show', 'exact', subnet])) !== '') return true;
  if ((await node.run(['ip', 'link', 'show', 'type', 'wireguard'])) === '') return false;
  return (await node.run(['wg', 'show', 'all', 'allowed-ips'])).split(/\s+/).includes(subnet);
}
