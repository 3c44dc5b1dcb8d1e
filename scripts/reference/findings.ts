// The table from a symptom to the id that `flanneld doctor` gives it and to its solution, as Markdown, from the doctor's own catalog.

import { CATALOG } from '../../flanneld/doctor/catalog.ts';
import type { CatalogEntry } from '../../flanneld/doctor/catalog-entry.ts';

const BEGIN = '<!-- what doctor finds, written by node scripts/reference.mjs -->';
const END = '<!-- the end of what doctor finds -->';
const ORDER = ['error', 'warning', 'info'];

/** `text` of a document with the table between its two marks. Throws when it lacks these marks. */
export function withFindings(text: string): string {
  const from = text.indexOf(BEGIN);
  const to = text.indexOf(END);
  if (from < 0 || to < from) throw new Error(`no "${BEGIN}" before "${END}"`);
  return `${text.slice(0, from)}${BEGIN}\n${findingsTable()}${text.slice(to)}`;
}

function findingsTable(): string {
  const rows = Object.entries<CatalogEntry>(CATALOG).toSorted(
    ([, a], [, b]) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity),
  );
  const lines = rows.map(([id, { severity, symptom, meaning, fix }]) =>
    [symptom, `\`${id}\` (${severity}): ${meaning}`, fix].map(cell).join(' | '),
  );
  return `| symptom | finding | fix |\n|---|---|---|\n${lines.map((line) => `| ${line} |\n`).join('')}`;
}

/** A bar would end the cell. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
