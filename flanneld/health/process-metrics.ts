// Metrics of the agent's own process, under the names that every exporter uses. prom-client's own collectors start timers and hooks, which
// would cost time in an idle agent; these read at the scrape.

import { readdirSync } from 'node:fs';
import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';
import type Registry from 'prom-client/lib/registry.js';

/** Returns the function that reads all values again. */
export function processMetrics(registers: Registry[]): () => void {
  const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers });
  const cpu = new Counter({ name: 'process_cpu_seconds_total', help: 'Processor time used.', registers });
  const memory = gauge('process_resident_memory_bytes', 'Memory in RAM.');
  const fds = gauge('process_open_fds', 'Open file descriptors.');
  const start = gauge('process_start_time_seconds', 'When it started, in seconds since 1970.');
  start.set(Math.round(Date.now() / 1000 - process.uptime()));
  return () => {
    const { user, system } = process.cpuUsage();
    cpu.reset();
    cpu.inc((user + system) / 1e6);
    memory.set(process.memoryUsage.rss());
    fds.set(openFds());
  };
}

function openFds(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return Number.NaN;
  }
}
