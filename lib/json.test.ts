import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { JsonValue } from './json.ts';
import { field, isJsonObject, JsonError, joinPath, jsonObject, parseJson, stringifyJson } from './json.ts';

function parseObject(text: string) {
  const value = parseJson(text);
  if (!isJsonObject(value)) throw new Error('no object');
  return value;
}

function nested(levels: number): string {
  return '['.repeat(levels) + ']'.repeat(levels);
}

/** The plain value that a Map stands for, built without touching `__proto__`. */
function plain(value: JsonValue): unknown {
  if (isJsonObject(value)) return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]));
  return Array.isArray(value) ? value.map((item: JsonValue) => plain(item)) : value;
}

describe('parseJson', () => {
  test('gives Maps for objects at every level', () => {
    expect(parseJson('{"a":[1,{"b":null}],"c":{"d":true}}')).toEqual(
      new Map<string, unknown>([
        ['a', [1, new Map([['b', null]])]],
        ['c', new Map([['d', true]])],
      ]),
    );
  });

  test('keeps __proto__, constructor and toString as ordinary keys and pollutes nothing', () => {
    const object = parseObject('{"__proto__":{"polluted":1},"constructor":2,"toString":"x"}');
    expect([...object.keys()]).toEqual(['__proto__', 'constructor', 'toString']);
    expect(object.get('__proto__')).toEqual(new Map([['polluted', 1]]));
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
    expect(parseObject('{}').get('__proto__')).toBeUndefined();
  });

  test('takes the last value of a key that is given twice', () => {
    expect(parseObject('{"a":1,"b":2,"a":3}').get('a')).toBe(3);
  });

  test.for([
    { name: 'exactly the limit', levels: 128, ok: true },
    { name: 'one level more', levels: 129, ok: false },
    { name: '200,000 levels', levels: 200_000, ok: false },
  ])('nesting of $name: accepted is $ok', ({ levels, ok }) => {
    const parse = () => parseJson(nested(levels));
    if (ok) expect(parse).not.toThrow();
    else expect(parse).toThrow(new JsonError('', 'nested deeper than 128 levels'));
  });

  test('counts objects too, and honours another limit', () => {
    expect(() => parseJson('{"a":{"a":{}}}', { maxDepth: 3 })).not.toThrow();
    expect(() => parseJson('{"a":{"a":{"a":[]}}}', { maxDepth: 3 })).toThrow('nested deeper than 3 levels');
    expect(() => parseJson('{"a":{"a":{"a":1}}}', { maxDepth: 3 })).not.toThrow();
  });

  test.for([
    { text: '{"a":[0,{"b":9007199254740993}]}', path: 'a[1].b' },
    { text: '[-9007199254740993]', path: '[0]' },
    { text: '{"a":9007199254740992}', path: 'a' },
    { text: '{"a":1e999}', path: 'a' },
    { text: '{"a":123456789012345678901234567890}', path: 'a' },
  ])('refuses a number that would be rounded: $text', ({ text, path }) => {
    expect(() => parseJson(text)).toThrow(new JsonError(path, 'the number is beyond 2^53 and cannot be kept exactly'));
  });

  test('refuses such a number at the top level as well', () => {
    expect(() => parseJson('9007199254740993')).toThrow(JsonError);
  });

  test.for([9007199254740991, -9007199254740991, 0, -1, 0.5, 1e-9, 1.7])('keeps %d', (number) => {
    expect(parseJson(JSON.stringify([number]))).toEqual([number]);
  });

  test.for(['', '{', '{"a":1,}', '[1] 2', "{'a':1}", '01', 'undefined', '\ufeff{}', '"\n"', '{"a":NaN}', '// c\n{}'])(
    'refuses %j with a JsonError that says so',
    (text) => {
      expect(() => parseJson(text)).toThrow(JsonError);
      expect(() => parseJson(text)).toThrow(/^invalid JSON: /);
    },
  );

  test('agrees with JSON.parse on every value it accepts', () => {
    const value = fc.jsonValue({ maxDepth: 5 });
    fc.assert(
      fc.property(value, (raw) => {
        const text = JSON.stringify(raw);
        let ours: JsonValue;
        try {
          ours = parseJson(text);
        } catch (error) {
          expect(error).toBeInstanceOf(JsonError);
          expect(text).toMatch(/\d{16}|e\+?\d\d/); // the only valid reason is a huge number
          return;
        }
        expect(JSON.stringify(plain(ours))).toBe(text);
      }),
    );
  });
});

describe('field', () => {
  test.for([
    { name: 'the exact spelling', text: '{"mtu":1,"MTU":2}', key: 'mtu', want: 1 },
    { name: 'the exact spelling though another comes later', text: '{"MTU":2,"Mtu":3}', key: 'MTU', want: 2 },
    { name: 'another case', text: '{"cniversion":"1"}', key: 'cniVersion', want: '1' },
    { name: 'the last of several other cases', text: '{"A":1,"a":2}'.replace('a', 'A'), key: 'a', want: 2 },
    { name: 'the last of differing cases', text: '{"NAme":1,"naME":2}', key: 'name', want: 2 },
    { name: 'null as absent', text: '{"a":null}', key: 'a', want: undefined },
    { name: 'another case when the exact one is null', text: '{"a":null,"A":1}', key: 'a', want: 1 },
    { name: 'nothing for an inherited name', text: '{}', key: 'toString', want: undefined },
    { name: 'false, which is not absent', text: '{"a":false}', key: 'A', want: false },
  ])('finds $name', ({ text, key, want }) => {
    expect(field(parseObject(text), key)).toBe(want);
  });
});

describe('jsonObject', () => {
  test('keeps order and leaves out what is undefined, not what is null', () => {
    expect([...jsonObject({ b: 1, a: undefined, c: null })]).toEqual([
      ['b', 1],
      ['c', null],
    ]);
  });
});

describe('stringifyJson', () => {
  const value = jsonObject({ b: [1, jsonObject({ y: 'ü', x: '<a&b>' })], a: jsonObject({}), c: [] });

  test('writes the compact form in the given order', () => {
    expect(stringifyJson(value)).toBe('{"b":[1,{"y":"ü","x":"<a&b>"}],"a":{},"c":[]}');
  });

  test('sorts keys at every level', () => {
    expect(stringifyJson(value, { sortKeys: true })).toBe('{"a":{},"b":[1,{"x":"<a&b>","y":"ü"}],"c":[]}');
  });

  test('indents as Go and JSON.stringify do, empty objects and lists staying on one line', () => {
    expect(stringifyJson(value, { indent: 4 })).toBe(JSON.stringify(plain(value), null, 4));
    expect(stringifyJson([], { indent: 4 })).toBe('[]');
  });

  test("escapes what Go's encoder escapes, in keys too", () => {
    const odd = jsonObject({ '<k>': '&\u2028\u2029"\\\u0001' });
    expect(stringifyJson(odd, { goEscapes: true })).toBe('{"\\u003ck\\u003e":"\\u0026\\u2028\\u2029\\"\\\\\\u0001"}');
    expect(parseJson(stringifyJson(odd, { goEscapes: true }))).toEqual(odd);
  });

  test('refuses what has no JSON form', () => {
    expect(() => stringifyJson([Number.NaN])).toThrow(JsonError);
    expect(() => stringifyJson(Number.POSITIVE_INFINITY)).toThrow('Infinity has no JSON form');
  });

  test('parse inverts stringify for every document and every option', () => {
    const text = fc.jsonValue({ maxDepth: 4 }).map((raw) => JSON.stringify(raw));
    fc.assert(
      fc.property(text, fc.boolean(), fc.boolean(), fc.nat(8), (source, sortKeys, goEscapes, indent) => {
        let document: JsonValue;
        try {
          document = parseJson(source);
        } catch {
          return;
        }
        expect(parseJson(stringifyJson(document, { sortKeys, goEscapes, indent }))).toEqual(document);
      }),
    );
  });
});

describe('joinPath', () => {
  test('writes keys with dots, indexes in brackets, and shortens hostile keys', () => {
    expect(joinPath(joinPath(joinPath('', 'plugins'), 0), 'mtu')).toBe('plugins[0].mtu');
    expect(joinPath('a', 'k'.repeat(1000))).toBe(`a.${'k'.repeat(64)}…`);
  });
});
