// Tables of the report.

import { escapeHtml } from '../../lib/html.ts';

/**
 * A table. Its first column holds names; every other one holds numbers, or words if one of its cells begins with a letter. The
 * caption and the heads serve screen readers, too.
 */
export function htmlTable(
  caption: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
  cell: (text: string) => string = escapeHtml,
): string {
  const classes = head.map((_, column) =>
    column > 0 && rows.some((row) => /^\p{L}/u.test(row[column] ?? '')) ? ' class="words"' : '',
  );
  const heads = head.map((text, column) => `<th scope="col"${classes[column]}>${escapeHtml(text)}</th>`).join('');
  const lines = rows.map((row) => {
    const [name = '', ...others] = row;
    return `<tr><th scope="row">${cell(name)}</th>${others.map((text, index) => `<td${classes[index + 1]}>${cell(text)}</td>`).join('')}</tr>`;
  });
  const captionElement = caption === '' ? '' : `<caption>${escapeHtml(caption)}</caption>`;
  return `<div class="scroll"><table>${captionElement}<thead><tr>${heads}</tr></thead><tbody>${lines.join('\n')}</tbody></table></div>`;
}
