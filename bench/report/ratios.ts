// A table of ratios. Beside each, a strip shows its interval and its limit on a logarithmic scale that is the same for all.

import { escapeHtml } from '../../lib/html.ts';
import { withUnit } from '../headline.ts';
import { judgeRatioOf } from '../limits.ts';
import type { RatioOfFigures, ValueLimit } from '../result.ts';

const WIDTH = 260;
const HEIGHT = 18;
/** The least distance between two numbers on the scale, so that they do not touch. */
const TICK_GAP = 34;

type Scale = (value: number) => number;

/** The table's HTML; empty when there are no ratios. */
export function ratioTable(ratios: readonly RatioOfFigures[]): string {
  if (ratios.length === 0) return '';
  const place = scaleOf(ratios);
  const rows = ratios.map((ratio) => {
    const { what, shown, limit, kept } = judgeRatioOf(ratio);
    return `<tr><th scope="row">${escapeHtml(what)}</th><td>${escapeHtml(shown)}</td><td>${strip(ratio, place)}</td><td>${escapeHtml(limit)}</td>${verdictCell(limit, kept)}</tr>`;
  });
  const limited = ratios.some(({ most, least }) => most !== undefined || least !== undefined);
  const head = ['', 'ratio (95 %)', axis(place), limited ? 'limit' : '', '']
    .map((text) => `<th scope="col">${text}</th>`)
    .join('');
  return `<div class="scroll"><table><caption>Ratios of medians</caption><thead><tr>${head}</tr></thead><tbody>${rows.join('\n')}</tbody></table></div>`;
}

export function limitTable(limits: readonly ValueLimit[]): string {
  if (limits.length === 0) return '';
  const rows = limits.map(({ name, value, unit, most }) => {
    const cells = `<td>${escapeHtml(withUnit(value, unit))}</td><td>≤ ${most} ${escapeHtml(unit)}</td>`;
    return `<tr><th scope="row">${escapeHtml(name)}</th>${cells}${verdictCell('≤', value <= most)}</tr>`;
  });
  const head = ['', 'value', 'limit', ''].map((text) => `<th scope="col">${text}</th>`).join('');
  return `<div class="scroll"><table><caption>Limits</caption><thead><tr>${head}</tr></thead><tbody>${rows.join('\n')}</tbody></table></div>`;
}

function verdictCell(limit: string, kept: boolean): string {
  if (limit === '') return '<td></td>';
  return kept ? '<td class="kept">kept</td>' : '<td class="broken">not kept</td>';
}

function scaleOf(ratios: readonly RatioOfFigures[]): Scale {
  const values = ratios
    .flatMap(({ value, low, high, most, least }) => [value, low, high, most ?? 1, least ?? 1, 1])
    .filter((value) => value > 0 && Number.isFinite(value));
  const [low, high] = [Math.log(Math.min(...values) / 1.1), Math.log(Math.max(...values) * 1.1)];
  return (value) => Number((((Math.log(value) - low) / (high - low)) * WIDTH).toFixed(1));
}

/** The numbers on the scale: always 1, and as many of the 1-2-5 steps around it as have room. */
function axis(place: Scale): string {
  const steps = [-3, -2, -1, 0, 1, 2, 3].flatMap((decade) => [1, 2, 5].map((step) => step * 10 ** decade));
  // The rounder numbers are placed first, so that they are the ones that stay.
  const ordered = [...steps].sort((a, b) => roundness(a) - roundness(b));
  const shown: number[] = [];
  for (const value of ordered) {
    const at = place(value);
    const hasRoom = shown.every((other) => Math.abs(place(other) - at) >= TICK_GAP);
    if (hasRoom && at >= 0 && at <= WIDTH) shown.push(value);
  }
  const marks = shown.map((value) => {
    const at = place(value);
    const line = `<line class="tick" x1="${at}" x2="${at}" y1="${HEIGHT - 4}" y2="${HEIGHT}"/>`;
    return `${line}<text x="${at}" y="${HEIGHT - 6}">${Number(value.toPrecision(1))}</text>`;
  });
  return svg(marks);
}

function roundness(value: number): number {
  if (value === 1) return 0;
  return Math.abs(Math.log10(value) % 1) < 1e-6 ? 1 : 2;
}

function svg(marks: readonly string[]): string {
  return `<svg class="strip" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" aria-hidden="true">${marks.join('')}</svg>`;
}

function strip({ value, low, high, most, least }: RatioOfFigures, place: Scale): string {
  if (!(value > 0 && Number.isFinite(value))) return '';
  const [middle, top, bottom] = [HEIGHT / 2, 2, HEIGHT - 2];
  const upright = (kind: string, at: number): string =>
    `<line class="${kind}" x1="${place(at)}" x2="${place(at)}" y1="${top}" y2="${bottom}"/>`;
  const marks = [
    upright('one', 1),
    ...(most === undefined ? [] : [upright('limit', most)]),
    ...(least === undefined ? [] : [upright('limit', least)]),
    ...(low > 0 && Number.isFinite(high)
      ? [`<line class="interval" x1="${place(low)}" x2="${place(high)}" y1="${middle}" y2="${middle}"/>`]
      : []),
    `<circle class="value" cx="${place(value)}" cy="${middle}" r="3.5"/>`,
  ];
  return svg(marks);
}
