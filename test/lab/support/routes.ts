// Lists the agent's routes on a node, as ip(8) shows them.

import type { LabNode } from '../lab-node.ts';
import { waitUntil } from '../processes.ts';

const LOOK_MS = 10_000;

/** Returns the routes to peers, sorted, without protocol and metric: `10.244.2.0/24 via 192.168.50.12 dev eth0`. */
export async function agentRoutes(node: LabNode, family: 4 | 6 = 4): Promise<string[]> {
  const text = await node.run(['ip', `-${family}`, 'route', 'show', 'proto', '138']);
  const lines = text.split('\n').map((line) =>
    line
      .replace(/ nhid \d+/, '')
      .replace(/ metric .*/, '')
      .trim(),
  );
  return lines.filter((line) => line !== '' && !line.startsWith('unreachable ')).sort();
}

/** Waits until the routes are the wanted ones. */
export async function becomesRouted(
  node: LabNode,
  what: string,
  holds: (routes: readonly string[]) => boolean,
  family: 4 | 6 = 4,
): Promise<void> {
  await waitUntil(async () => holds(await agentRoutes(node, family)), LOOK_MS, `${what} on ${node.name}`);
}
