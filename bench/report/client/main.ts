// The page's program: draws every plot that has data, and draws it again when its width or the colours change.

import uPlot from 'uplot';
import type { PlotData } from '../data.ts';
import { markerOf } from './marker.ts';
import { drawingOf } from './plots.ts';

const HEIGHT = 280;
const NO_ZOOM = { drag: { x: false, y: false } };

function draw(figure: HTMLElement, data: PlotData): void {
  const place = figure.querySelector<HTMLElement>('.plot');
  if (place === null) return;
  place.replaceChildren();
  const { options, data: aligned } = drawingOf(data);
  const width = Math.max(280, place.clientWidth);
  const noteDrawn = (): void => figure.setAttribute('data-drawn', 'yes');
  new uPlot(
    {
      ...options,
      hooks: { draw: [noteDrawn] },
      legend: { markers: { width: 0, fill: (_plot, series) => markerOf(options.series[series]) } },
      width,
      height: HEIGHT,
      cursor: NO_ZOOM,
    },
    aligned,
    place,
  );
}

function main(): void {
  const plots = JSON.parse(document.getElementById('data')?.textContent ?? '{}') as Record<string, PlotData>;
  const figures = [...document.querySelectorAll<HTMLElement>('figure[data-plot]')];
  const drawAll = (): void => {
    for (const figure of figures) {
      const data = plots[figure.dataset['plot'] ?? ''];
      if (data !== undefined) draw(figure, data);
    }
  };
  drawAll();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
  let width = document.body.clientWidth;
  new ResizeObserver(() => {
    if (document.body.clientWidth === width) return;
    width = document.body.clientWidth;
    drawAll();
  }).observe(document.body);
}

main();
