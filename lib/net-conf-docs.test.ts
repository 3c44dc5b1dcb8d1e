import { describe, expect, test } from 'vitest';
import type { KeyDoc } from './key-doc.ts';
import { parseNetConf } from './net-conf.ts';
import { backendDocs, netConfDocs } from './net-conf-docs.ts';

const base = { Network: '10.244.0.0/16' };

function entries(docs: Readonly<Record<string, KeyDoc>>): { key: string; doc: KeyDoc }[] {
  return Object.entries(docs).map(([key, doc]) => ({ key, doc }));
}

/** Every documented key with how a document holds it. */
const places = [
  ...entries(netConfDocs).map(({ key, doc }) => ({
    name: key,
    doc,
    put: (value: unknown) => ({ ...base, [key]: value }),
  })),
  ...Object.entries(backendDocs).flatMap(([Type, docs]) =>
    entries(docs).map(({ key, doc }) => ({
      name: `${Type} ${key}`,
      doc,
      put: (value: unknown) => ({ ...base, Backend: { Type, [key]: value } }),
    })),
  ),
];

describe('the documentation of net-conf.json', () => {
  test.for(places.filter(({ doc }) => doc.default !== undefined))('tells the default of $name', ({ doc, put }) => {
    const given = parseNetConf(JSON.stringify(put(doc.default)));
    const absent = parseNetConf(JSON.stringify(put(undefined)));
    expect(given).toEqual(absent);
  });

  test.for(places.filter(({ doc }) => doc.range !== undefined))('tells the range of $name', ({ doc, put }) => {
    const [min, max] = doc.range ?? [0, 0];
    for (const value of [min, max]) expect(() => parseNetConf(JSON.stringify(put(value)))).not.toThrow();
    for (const value of [min - 1, max + 1]) expect(() => parseNetConf(JSON.stringify(put(value)))).toThrow();
  });

  test('warns of no key it tells of', () => {
    for (const { name, doc, put } of places) {
      if (doc.default === undefined) continue;
      expect([name, parseNetConf(JSON.stringify(put(doc.default))).warnings]).toEqual([name, []]);
    }
  });
});
