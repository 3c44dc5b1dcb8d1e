// The page's program: draws the visible part of the matrix, moves through it by pointer and keys, and sorts the table.

import { type MapData, type SortKey, sortedOrder } from '../map-data.ts';
import { cellText } from './cell-text.ts';
import { type Drawing, drawMatrix, readColours } from './draw-matrix.ts';
import { makeSortable } from './sort-table.ts';

const LABELS = { least: 60, most: 150 } as const;
const CELL = { least: 2, most: 28 } as const;

interface Place {
  readonly row: number;
  readonly column: number;
}

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

class Matrix {
  readonly #data: MapData;
  readonly #box = element<HTMLElement>('matrix');
  readonly #canvas = this.#box.querySelector('canvas') as HTMLCanvasElement;
  readonly #extent = this.#box.querySelector('.extent') as HTMLElement;
  #order: readonly number[];
  #size: 'fit' | number = 'fit';
  #cell = 1;
  #labels = 0;
  #at: Place = { row: 0, column: 0 };

  constructor(data: MapData) {
    this.#data = data;
    this.#order = sortedOrder(data, 'name');
    this.#box.addEventListener('scroll', () => this.draw());
    this.#box.addEventListener('keydown', (event) => this.#onKey(event));
    this.#box.addEventListener('focus', () => this.#moveTo(this.#at));
    this.#canvas.addEventListener('pointermove', (event) => this.#onPointer(event));
    this.#canvas.addEventListener('pointerdown', (event) => this.#onPointer(event));
  }

  sort(key: SortKey): void {
    this.#order = sortedOrder(this.#data, key);
    this.draw();
    this.#moveTo({ row: 0, column: 0 });
  }

  resize(size: 'fit' | number): void {
    this.#size = size;
    this.layOut();
  }

  /** Scrolls to the row of the first node whose name contains the text. */
  find(text: string): void {
    const found = this.#order.findIndex((at) => this.#data.nodes[at]?.name.includes(text));
    if (text !== '' && found !== -1) this.#moveTo({ row: found, column: this.#at.column });
  }

  layOut(): void {
    const count = this.#order.length;
    const width = this.#box.clientWidth;
    const longest = Math.max(...this.#data.nodes.map(({ name }) => name.length), 1);
    this.#labels = Math.min(LABELS.most, Math.max(LABELS.least, longest * 7 + 8), width / 3);
    const fit = Math.floor((width - this.#labels) / count);
    this.#cell = this.#size === 'fit' ? Math.min(CELL.most, Math.max(CELL.least, fit)) : this.#size;
    const side = this.#labels + count * this.#cell;
    this.#extent.style.width = `${side}px`;
    this.#extent.style.height = `${side}px`;
    this.#box.style.height = `${side + 2}px`;
    this.draw();
  }

  draw(): void {
    const { clientWidth, clientHeight, scrollLeft, scrollTop } = this.#box;
    const drawing: Drawing = {
      data: this.#data,
      order: this.#order,
      cell: this.#cell,
      labels: this.#labels,
      at: this.#at,
      view: { left: scrollLeft, top: scrollTop, width: clientWidth, height: clientHeight },
      colours: readColours(),
    };
    drawMatrix(this.#canvas, drawing);
    this.#box.dataset['drawn'] = 'yes';
  }

  #onPointer(event: PointerEvent): void {
    const { left, top } = this.#canvas.getBoundingClientRect();
    const toIndex = (offset: number, scrolled: number): number =>
      Math.floor((offset - this.#labels + scrolled) / this.#cell);
    const [x, y] = [event.clientX - left, event.clientY - top];
    const place = { row: toIndex(y, this.#box.scrollTop), column: toIndex(x, this.#box.scrollLeft) };
    if (x > this.#labels && y > this.#labels) this.#moveTo(place, false);
  }

  #onKey(event: KeyboardEvent): void {
    const { row, column } = this.#at;
    const last = this.#order.length - 1;
    const places: Readonly<Record<string, Place>> = {
      ArrowUp: { row: row - 1, column },
      ArrowDown: { row: row + 1, column },
      ArrowLeft: { row, column: column - 1 },
      ArrowRight: { row, column: column + 1 },
      PageUp: { row: row - 10, column },
      PageDown: { row: row + 10, column },
      Home: { row, column: 0 },
      End: { row, column: last },
    };
    const place = places[event.key];
    if (place === undefined) return;
    event.preventDefault();
    this.#moveTo(place);
  }

  #moveTo({ row, column }: Place, scrolls = true): void {
    const inside = (at: number): number => Math.min(Math.max(0, at), this.#order.length - 1);
    this.#at = { row: inside(row), column: inside(column) };
    if (scrolls) this.#scrollTo(this.#at);
    this.draw();
    const [from = 0, to = 0] = [this.#order[this.#at.row], this.#order[this.#at.column]];
    element('cell').textContent = cellText(this.#data, from, to);
  }

  #scrollTo({ row, column }: Place): void {
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = this.#box;
    this.#box.scrollLeft = scrolled(column * this.#cell, scrollLeft, clientWidth - this.#labels, this.#cell);
    this.#box.scrollTop = scrolled(row * this.#cell, scrollTop, clientHeight - this.#labels, this.#cell);
  }
}

/** The offset, changed as little as possible, at which `start` to `start + length` is visible. */
function scrolled(start: number, offset: number, seen: number, length: number): number {
  if (start < offset) return start;
  return start + length > offset + seen ? start + length - seen : offset;
}

function main(): void {
  const data = JSON.parse(document.getElementById('data')?.textContent ?? '{}') as MapData;
  makeSortable(element<HTMLTableElement>('nodes'));
  if (data.nodes.length === 0) return;
  const matrix = new Matrix(data);
  const [order, size, find] = ['order', 'size', 'find'].map((id) => element<HTMLSelectElement | HTMLInputElement>(id));
  order?.addEventListener('change', () => matrix.sort(order.value as SortKey));
  size?.addEventListener('change', () => matrix.resize(size.value === 'fit' ? 'fit' : Number(size.value)));
  find?.addEventListener('input', () => matrix.find(find.value));
  for (const form of document.querySelectorAll('form'))
    form.addEventListener('submit', (event) => event.preventDefault());
  matrix.layOut();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => matrix.draw());
  addEventListener('resize', () => matrix.layOut());
}

main();
