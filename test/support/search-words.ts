// Tests that somebody who searches for flannel's error text finds ours, and that ours says what to do.

import { expect } from 'vitest';

export interface SearchedError {
  /** flannel's text as people paste it into a search box. */
  readonly flannel: string;
  /** What our text must say in addition: what to do, or what is allowed. */
  readonly advice: RegExp;
}

/** The words of a text as a search engine sees them, without case and punctuation. */
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
