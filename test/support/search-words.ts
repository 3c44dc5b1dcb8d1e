// Whether an error would be found by who searches for flannel's words, and says what to do.

import { expect } from 'vitest';

export interface SearchedError {
  /** flannel's text as people paste it into a search box. */
  readonly flannel: string;
  /** What ours says beyond it: what to do, or what is allowed. */
  readonly advice: RegExp;
}

/** A search engine sees words: neither case nor punctuation between them. */
function wordsOf(text: string): string {
  return ` ${text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, ' ')
    .trim()} `;
}

export function expectFound(ours: string, { flannel, advice }: SearchedError): void {
  expect(wordsOf(ours), `searched: ${flannel}\nours: ${ours}`).toContain(wordsOf(flannel));
  expect(ours).toMatch(advice);
}
