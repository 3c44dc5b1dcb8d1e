// Describes a square of the matrix in words, for the line below the matrix. Screen readers also read this line.

import type { MapCell, MapData } from '../map-data.ts';

const STATES = { ok: 'reachable', bad: 'degraded', dead: 'no answer' } as const;
/** The most findings about the pair that are shown. */
const SHOWN = 4;

export function cellText({ nodes, rows, details }: MapData, from: number, to: number): string {
  const name = nodes[from]?.name ?? '';
  const about = details.filter((detail) => detail.from === from && detail.to === (from === to ? -1 : to));
  const found = about.slice(0, SHOWN).map(({ text }) => text);
  if (from === to) return [name, ...(nodes[from]?.problems ?? []).slice(0, SHOWN), ...found].join('\n');
  return [`${name} → ${nodes[to]?.name}: ${stateText(rows[from]?.[to] ?? 0)}`, ...found].join('\n');
}

function stateText(cell: MapCell): string {
  if (cell === 0) return 'not probed';
  const { s, r, l } = cell;
  const facts = [
    STATES[s],
    ...(r === undefined ? [] : [`round trip ${Number(r.toPrecision(3))} ms`]),
    `${Math.round(l ?? 0)} % lost`,
  ];
  return facts.join(', ');
}
