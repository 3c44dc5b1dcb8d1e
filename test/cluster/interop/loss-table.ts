// Collects the losses of a whole run and prints them as a table at its end.

import type { FlowResult } from '../../faults/probe/spec.ts';
import { markdownTable } from '../../faults/report.ts';

export class LossTable {
  readonly #rows: {
    readonly change: string;
    readonly flows: ReadonlyMap<string, FlowResult>;
    readonly dropped: number;
  }[] = [];

  /** `flows` has the flows by their paths. `dropped` counts the packets that the machine's queues dropped meanwhile. */
  add(change: string, flows: ReadonlyMap<string, FlowResult>, dropped: number): void {
    this.#rows.push({ change, flows, dropped });
  }

  /** The table has a row for each change and a column for each path. A dash means that no such flow ran. */
  render(): string {
    const paths = [...new Set(this.#rows.flatMap(({ flows }) => [...flows.keys()]))].sort();
    const rows = this.#rows.map(({ change, flows, dropped }) => [
      change,
      ...paths.map((path) => cell(flows.get(path))),
      String(dropped),
    ]);
    return markdownTable(['lost, of the packets sent', ...paths, 'machine’s drops'], rows);
  }
}

function cell(result: FlowResult | undefined): string {
  return result === undefined ? '–' : `${result.lostAtMost} of ${result.sent}`;
}
