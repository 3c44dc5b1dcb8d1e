// The data that the map shows, computed when the file is written. The page contains it as JSON. The program in the browser shares this
// file, so it imports only types.

import type { MergedFinding } from '../findings/merged-finding.ts';

export interface MapData {
  /** ISO 8601, UTC. */
  readonly made: string;
  readonly nodes: readonly MapNode[];
  /** One row for each node, with its results about each node in the order of `nodes`. */
  readonly rows: readonly (readonly MapCell[])[];
  readonly findings: readonly MergedFinding[];
  /** Findings of single nodes, for the square or the node that they are about. */
  readonly details: readonly MapDetail[];
}

export interface MapNode {
  readonly name: string;
  readonly version: string;
  /** `yes`, `no`, or `?` when it did not answer. */
  readonly ready: string;
  readonly peers: string;
  readonly guard: string;
  readonly probes: string;
  readonly drift: string;
  /** Repairs since the agent's start. */
  readonly repairs: number;
  /** The failing checks of the node, or why it did not answer. */
  readonly problems: readonly string[];
}

/** The result of a node's probes of a peer: 0 when there is none; else state, round trip and loss. */
export type MapCell =
  | 0
  | {
      readonly s: MapState;
      /** Round trip in milliseconds, where there was an answer. */
      readonly r?: number;
      /** The percentage of recent probes that were lost; absent when none was. */
      readonly l?: number;
    };

/** Reachable; degraded (small packets pass, something else does not); unreachable. */
export type MapState = 'ok' | 'bad' | 'dead';

export interface MapDetail {
  /** Index of the node that found it. */
  readonly from: number;
  /** Index of the peer that it is about; -1 when it is about the node itself. */
  readonly to: number;
  readonly text: string;
}

/** The upper bounds of the colour steps in milliseconds; the last step has none. They are fixed, so that two maps can be compared. */
export const RTT_STEPS = [0.25, 0.5, 1, 2, 5, 20] as const;

/** The colour step of a round trip; the first is 0. */
export function rttStep(rttMs: number): number {
  const step = RTT_STEPS.findIndex((end) => rttMs < end);
  return step === -1 ? RTT_STEPS.length : step;
}

/** How bad a cell is, as a number by which nodes are sorted. */
export function badness(cell: MapCell): number {
  if (cell === 0) return 0;
  if (cell.s === 'dead') return 1000;
  return (cell.s === 'bad' ? 500 : 0) + (cell.l ?? 0);
}

export type SortKey = 'name' | 'worst' | 'slowest';

/** The order of rows and columns, as indexes of `nodes`. `name` keeps the order of `nodes`. */
export function sortedOrder({ nodes, rows }: Pick<MapData, 'nodes' | 'rows'>, key: SortKey): number[] {
  const indexes = nodes.map((_, at) => at);
  if (key === 'name') return indexes;
  const scores = indexes.map((at) => scoreOf(rows, at, key));
  return indexes.sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
}

/** A node's score, computed from its row and its column. */
function scoreOf(rows: MapData['rows'], at: number, key: 'worst' | 'slowest'): number {
  const cells = [...(rows[at] ?? []), ...rows.map((row) => row[at] ?? 0)];
  if (key === 'worst') return cells.reduce((sum: number, cell) => sum + badness(cell), 0);
  const times = cells.flatMap((cell) => (cell === 0 || cell.r === undefined ? [] : [cell.r]));
  return times.length === 0 ? 0 : times.reduce((sum, each) => sum + each, 0) / times.length;
}
