// Sorts a table by the column whose head is pressed, and in reverse order when it is pressed again.

export function makeSortable(table: HTMLTableElement): void {
  const heads = [...table.querySelectorAll<HTMLElement>('thead th')];
  for (const [column, head] of heads.entries()) {
    head.querySelector('button')?.addEventListener('click', () => {
      const isAscending = head.getAttribute('aria-sort') !== 'ascending';
      for (const other of heads) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', isAscending ? 'ascending' : 'descending');
      sortRows(table, column, isAscending);
    });
  }
}

function sortRows(table: HTMLTableElement, column: number, isAscending: boolean): void {
  const body = table.tBodies[0];
  if (body === undefined) return;
  const rows = [...body.rows].map((row) => ({ row, key: keyOf(row.cells[column]) }));
  const sign = isAscending ? 1 : -1;
  rows.sort((a, b) => sign * a.key.localeCompare(b.key, 'en', { numeric: true }));
  body.append(...rows.map(({ row }) => row));
}

function keyOf(cell: HTMLTableCellElement | undefined): string {
  return cell?.dataset['sort'] ?? cell?.textContent ?? '';
}
