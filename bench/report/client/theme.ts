// The colours of the plots. They are read from the page's style, so that they follow the reader's light or dark mode.

export interface Theme {
  readonly text: string;
  readonly grid: string;
  readonly font: string;
  readonly series: readonly string[];
}

const SERIES = 6;

export function readTheme(): Theme {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string): string => style.getPropertyValue(name).trim();
  return {
    text: read('--muted'),
    grid: read('--grid'),
    font: '12px system-ui, sans-serif',
    series: Array.from({ length: SERIES }, (_, at) => read(`--series-${at + 1}`)),
  };
}

/** The colour and dashes of the n-th series. The dashes are for readers who cannot tell the colours apart. */
export function strokeOf(theme: Theme, at: number): { stroke: string; dash: number[]; width: number } {
  const dashes = [[], [6, 4], [2, 3], [10, 3, 2, 3], [], [6, 4]];
  return {
    stroke: theme.series[at % theme.series.length] ?? theme.text,
    dash: dashes[at % dashes.length] ?? [],
    width: at === 0 ? 2.5 : 1.75,
  };
}
