// Counts packets that a busy machine loses by itself, whatever a test does to the network.

import { readFileSync } from 'node:fs';

/**
 * The number of packets dropped so far because the queue of a processor was full, in all namespaces of the machine. It is the
 * second column of softnet_stat, in hexadecimal (net/core/net-procfs.c). A busy machine loses packets of flows in this way.
 */
export function queueDrops(): number {
  const lines = readFileSync('/proc/net/softnet_stat', 'utf8').trim().split('\n');
  return lines.reduce((sum, line) => sum + Number.parseInt(line.split(' ')[1] ?? '0', 16), 0);
}
