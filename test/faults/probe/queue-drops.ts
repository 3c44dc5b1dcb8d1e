// What a busy machine loses of itself, whatever happens to the network of a test.

import { readFileSync } from 'node:fs';

/**
 * Packets dropped so far because the queue of a processor was full, in all namespaces of the machine: the second column of
 * softnet_stat, hexadecimal (net/core/net-procfs.c). On a busy machine flows lose some by that alone.
 */
export function queueDrops(): number {
  const lines = readFileSync('/proc/net/softnet_stat', 'utf8').trim().split('\n');
  return lines.reduce((sum, line) => sum + Number.parseInt(line.split(' ')[1] ?? '0', 16), 0);
}
