// The marker before a name in a legend: a piece of the line as it is drawn, or the colour of the bar.

import type uPlot from 'uplot';

/** The marker as a CSS background. */
export function markerOf({ stroke, fill, dash = [] }: Pick<uPlot.Series, 'stroke' | 'fill' | 'dash'> = {}): string {
  const colour = String(fill ?? stroke ?? 'transparent');
  if (dash.length === 0) return colour;
  let at = 0;
  const stops = dash.map((length, index) => {
    const from = at;
    at += length;
    return `${index % 2 === 0 ? colour : 'transparent'} ${from}px ${at}px`;
  });
  return `repeating-linear-gradient(90deg, ${stops.join(', ')})`;
}
