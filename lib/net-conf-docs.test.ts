import { describe, expect, test } from 'vitest';
import type { KeyDoc } from './key-doc.ts';
import { parseNetConf } from './net-conf.ts';
import { netConfDocs } from './net-conf-docs.ts';

/** Every documented key, and a document that has it. */
const keys = Object.entries<KeyDoc>(netConfDocs).map(([name, doc]) => ({
  name,
  doc,
  parse: (value: unknown) => parseNetConf(JSON.stringify({ Network: '10.244.0.0/16', [name]: value })),
}));

describe('the documentation of net-conf.json', () => {
  test.for(keys.filter(({ doc }) => doc.default !== undefined))('tells the default of $name', ({ doc, parse }) => {
    expect(parse(doc.default)).toEqual(parse(undefined));
  });

  test.for(keys.filter(({ doc }) => doc.range !== undefined))('tells the range of $name', ({ doc, parse }) => {
    const [min, max] = doc.range ?? [0, 0];
    for (const value of [min, max]) expect(() => parse(value)).not.toThrow();
    for (const value of [min - 1, max + 1]) expect(() => parse(value)).toThrow();
  });

  test('documents no key of which the parser warns', () => {
    for (const { name, doc, parse } of keys) {
      if (doc.default === undefined) continue;
      expect([name, parse(doc.default).warnings]).toEqual([name, []]);
    }
  });
});
