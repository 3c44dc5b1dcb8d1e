// How many packets a change costs flows of 1000 packets a second between two pods that stay.

import { onTestFinished } from 'vitest';
import { startFlow } from '../../faults/probe/flow.ts';
import { queueDrops } from '../../faults/probe/queue-drops.ts';
import { listPods, type PodObject } from './api.ts';
import type { KubeCluster } from './cluster.ts';
import { flowEnd } from './scene.ts';

/**
 * Runs under a flow in both directions between the two pods of `app`; resolves with the number of lost packets that the machine's own
 * queues did not drop.
 */
export async function lossOf(
  cluster: KubeCluster,
  app: string,
  what: string,
  body: () => Promise<void>,
): Promise<number> {
  const [from, to] = (await listPods(cluster.server, app)) as [PodObject, PodObject];
  const ends = [await flowEnd(cluster, from), await flowEnd(cluster, to)] as const;
  const flows = [await startFlow(ends[0], ends[1]), await startFlow(ends[1], ends[0])];
  onTestFinished(async () => {
    for (const flow of flows) await flow.abandon();
  });
  const before = queueDrops();
  await body();
  const results = [await flows[0]?.stop(), await flows[1]?.stop()];
  const dropped = queueDrops() - before;
  const sum = (key: 'lostAtMost' | 'sent'): number =>
    results.reduce((total, result) => total + (result?.[key] ?? 0), 0);
  process.stdout.write(`${what}: ${sum('lostAtMost')} of ${sum('sent')} packets lost (machine’s drops ${dropped})\n`);
  return Math.max(0, sum('lostAtMost') - dropped);
}
