// What the page's program draws: plain data that the page carries as JSON, computed when the report is written. No
// imports: the browser's side and ours share this file.

export type PlotData = DistributionData | StackedData | LinesData;

export interface DistributionData {
  readonly kind: 'distribution';
  readonly unit: string;
  readonly curves: readonly Curve[];
}

export interface Curve {
  readonly name: string;
  /** Rising values, and the share (0–100) of the samples at or below each. */
  readonly values: readonly number[];
  readonly shares: readonly number[];
}

export interface StackedData {
  readonly kind: 'stacked';
  readonly unit: string;
  /** What a bar is. */
  readonly bar: string;
  /** From the bottom up; null where the round failed. */
  readonly segments: readonly { readonly name: string; readonly values: readonly (number | null)[] }[];
  /** Bars beyond it are cut off; it is above most of them. */
  readonly top: number;
}

export interface LinesData {
  readonly kind: 'lines';
  readonly unit: string;
  readonly x: { readonly label: string; readonly log: boolean };
  readonly y: { readonly label: string; readonly log: boolean };
  readonly lines: readonly {
    readonly name: string;
    readonly points: readonly {
      readonly x: number;
      readonly p10: number;
      readonly p50: number;
      readonly p90: number;
    }[];
  }[];
}
