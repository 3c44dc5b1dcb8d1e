// Reports problems, and the end of each, to the node's administrator by Events on the Node.

import type { Clock } from '../../lib/clock-node.ts';
import { printable } from '../../lib/printable.ts';
import type { Finding } from '../health/finding.ts';
import { FindingEvents } from '../health/finding-events.ts';
import type { Logger } from '../health/log.ts';
import type { SubnetManager } from '../subnet/manager.ts';

const PERIOD_MS = 5000;

export interface TellTools {
  readonly manager: Pick<SubnetManager, 'report'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Checks every few seconds until the signal. Where a store has no Events, the same lines are only logged. */
export function tellFindings(
  findings: () => readonly Finding[],
  { manager, clock, log }: TellTools,
  signal: AbortSignal,
): void {
  const events = new FindingEvents();
  const look = (): void => {
    if (signal.aborted) return;
    for (const { reason, message, isEnd } of events.look(findings(), clock.now())) {
      if (isEnd) log.info({ reason }, printable(message));
      else log.warn({ reason }, printable(message));
      manager.report?.(reason, message, isEnd ? 'Normal' : 'Warning');
    }
    cancel = clock.after(PERIOD_MS, look);
  };
  let cancel = clock.after(PERIOD_MS, look);
  signal.addEventListener('abort', () => cancel(), { once: true });
}
