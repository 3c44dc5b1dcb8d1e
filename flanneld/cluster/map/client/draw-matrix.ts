// Draws the visible part of the matrix on one canvas, with the names of rows and columns at its edges.

import { type MapCell, type MapData, rttStep } from '../map-data.ts';

export interface Drawing {
  readonly data: MapData;
  readonly order: readonly number[];
  /** Side of a square, in CSS pixels. */
  readonly cell: number;
  /** The space for names on the left and at the top. */
  readonly labels: number;
  readonly at: { readonly row: number; readonly column: number };
  readonly view: { readonly left: number; readonly top: number; readonly width: number; readonly height: number };
  readonly colours: Colours;
}

export interface Colours {
  readonly page: string;
  readonly text: string;
  readonly muted: string;
  readonly accent: string;
  readonly mark: string;
  readonly unknown: string;
  readonly lossy: string;
  readonly degraded: string;
  readonly dead: string;
  readonly rtt: readonly string[];
}

const STEPS = 7;
/** Squares below this size have no gap, mark or name. */
const NAMED_FROM = 9;
/** Keeps names at the edge from being cut off. */
const HALF_LINE = 7;
const FONT = '12px system-ui, sans-serif';

/** Takes colours from the page's style, so that they follow the reader's light or dark mode. */
export function readColours(): Colours {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    page: read('page'),
    text: read('text'),
    muted: read('muted'),
    accent: read('accent'),
    mark: read('mark'),
    unknown: read('unknown'),
    lossy: read('lossy'),
    degraded: read('degraded'),
    dead: read('dead'),
    rtt: Array.from({ length: STEPS }, (_, at) => read(`rtt-${at + 1}`)),
  };
}

export function drawMatrix(canvas: HTMLCanvasElement, drawing: Drawing): void {
  const { view, labels, cell, order, at, colours } = drawing;
  const scale = devicePixelRatio;
  canvas.width = Math.round(view.width * scale);
  canvas.height = Math.round(view.height * scale);
  canvas.style.width = `${view.width}px`;
  canvas.style.height = `${view.height}px`;
  const context = canvas.getContext('2d');
  if (context === null) return;
  context.scale(scale, scale);
  context.fillStyle = colours.page;
  context.fillRect(0, 0, view.width, view.height);
  context.save();
  context.beginPath();
  context.rect(labels, labels, view.width - labels, view.height - labels);
  context.clip();
  const rows = seen(view.top, view.height - labels, cell, order.length);
  const columns = seen(view.left, view.width - labels, cell, order.length);
  for (const row of rows) for (const column of columns) drawCell(context, drawing, row, column);
  context.strokeStyle = colours.accent;
  context.lineWidth = 2;
  const [x, y] = [labels + at.column * cell - view.left, labels + at.row * cell - view.top];
  context.strokeRect(x - 1, y - 1, cell + 1, cell + 1);
  context.restore();
  drawNames(context, drawing, rows, columns);
}

/** The indexes of the squares between `offset` and `offset + length`. */
function seen(offset: number, length: number, cell: number, count: number): number[] {
  const first = Math.floor(offset / cell);
  const last = Math.min(count - 1, Math.ceil((offset + length) / cell));
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => first + at);
}

function drawCell(context: CanvasRenderingContext2D, drawing: Drawing, row: number, column: number): void {
  if (row === column) return;
  const { data, order, cell, labels, view, colours } = drawing;
  const state = data.rows[order[row] ?? -1]?.[order[column] ?? -1] ?? 0;
  const [x, y] = [labels + column * cell - view.left, labels + row * cell - view.top];
  const side = cell >= NAMED_FROM ? cell - 1 : cell;
  context.fillStyle = colourOf(state, colours);
  context.fillRect(x, y, side, side);
  if (cell >= NAMED_FROM && state !== 0 && state.s !== 'ok') drawMark(context, colours, x, y, side, state.s);
}

function colourOf(cell: MapCell, colours: Colours): string {
  if (cell === 0) return colours.unknown;
  if (cell.s === 'dead') return colours.dead;
  if (cell.s === 'bad') return colours.degraded;
  if ((cell.l ?? 0) > 0) return colours.lossy;
  return cell.r === undefined ? colours.unknown : (colours.rtt[rttStep(cell.r)] ?? colours.unknown);
}

/** A cross for no answer and a bar for degraded, for readers who cannot tell the colours apart. */
function drawMark(
  context: CanvasRenderingContext2D,
  { mark }: Colours,
  x: number,
  y: number,
  side: number,
  state: 'bad' | 'dead',
): void {
  const [near, far] = [side * 0.28, side * 0.72];
  context.strokeStyle = mark;
  context.lineWidth = Math.max(1.5, side / 10);
  context.beginPath();
  if (state === 'dead') {
    context.moveTo(x + near, y + near);
    context.lineTo(x + far, y + far);
    context.moveTo(x + far, y + near);
    context.lineTo(x + near, y + far);
  } else {
    context.moveTo(x + near, y + side / 2);
    context.lineTo(x + far, y + side / 2);
  }
  context.stroke();
}

function drawNames(
  context: CanvasRenderingContext2D,
  drawing: Drawing,
  rows: readonly number[],
  columns: readonly number[],
): void {
  const { cell, labels, view, at } = drawing;
  context.font = FONT;
  context.textBaseline = 'middle';
  // Small squares have room only for the name of the chosen row or column.
  const isNamed = (index: number, chosen: number): boolean => cell >= NAMED_FROM || index === chosen;
  const clipTo = (x: number, y: number, width: number, height: number, draw: () => void): void => {
    context.save();
    context.beginPath();
    context.rect(x, y, width, height);
    context.clip();
    draw();
    context.restore();
  };
  clipTo(0, labels, labels - 4, view.height - labels, () => {
    for (const row of rows.filter((each) => isNamed(each, at.row))) {
      const y = labels + (row + 0.5) * cell - view.top;
      drawName(context, drawing, row, row === at.row, labels - 6, Math.max(y, labels + HALF_LINE));
    }
  });
  clipTo(labels, 0, view.width - labels, labels - 4, () => {
    context.rotate(-Math.PI / 2);
    for (const column of columns.filter((each) => isNamed(each, at.column))) {
      const x = labels + (column + 0.5) * cell - view.left;
      drawName(context, drawing, column, column === at.column, -labels + 6, Math.max(x, labels + HALF_LINE), 'left');
    }
  });
}

function drawName(
  context: CanvasRenderingContext2D,
  { data, order, colours }: Drawing,
  index: number,
  isChosen: boolean,
  x: number,
  y: number,
  align: CanvasTextAlign = 'right',
): void {
  context.textAlign = align;
  context.fillStyle = isChosen ? colours.text : colours.muted;
  context.fillText(data.nodes[order[index] ?? -1]?.name ?? '', x, y);
}
