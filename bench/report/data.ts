// The data that the page's program draws. It is computed when the report is written, and the page contains it as JSON. This file has no
// imports, because the program in the browser and the bench share it.

export type PlotData = DistributionData | StackedData | LinesData;

export interface DistributionData {
  readonly kind: 'distribution';
  readonly unit: string;
  readonly curves: readonly Curve[];
}

export interface Curve {
  readonly name: string;
  /** Values in rising order; `shares` has, for each, the percentage of samples at or below it. */
  readonly values: readonly number[];
  readonly shares: readonly number[];
}

export interface StackedData {
  readonly kind: 'stacked';
  readonly unit: string;
  /** What a bar stands for. */
  readonly bar: string;
  /** The segments from the bottom up, with null where a round failed. */
  readonly segments: readonly { readonly name: string; readonly values: readonly (number | null)[] }[];
  /** The upper end of the axis. The few higher bars are cut off there. */
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
