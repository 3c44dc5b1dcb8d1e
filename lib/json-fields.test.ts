import { describe, expect, test } from 'vitest';
import { ConfigError } from './errors.ts';
import { parseIp } from './ip.ts';
import {
  parsePlace,
  readBoolean,
  readField,
  readInteger,
  readList,
  readObject,
  readString,
  readStrings,
  readText,
  rootPlace,
  showJson,
  unknownKeys,
} from './json-fields.ts';

function place(text: string) {
  return parsePlace('net-conf', text);
}

describe('parsePlace', () => {
  test.for([
    { text: '[1]', want: 'net-conf: expected an object, got a list' },
    { text: '"x"', want: 'net-conf: expected an object, got "x"' },
    { text: 'null', want: 'net-conf: expected an object, got null' },
    { text: '{"a":99999999999999999999}', want: 'net-conf: a: the number is beyond 2^53 and cannot be kept exactly' },
  ])('refuses $text', ({ text, want }) => {
    expect(() => place(text)).toThrow(want);
    expect(() => place(text)).toThrow(ConfigError);
  });

  test('says that the text is no JSON', () => {
    expect(() => place('{')).toThrow(/^net-conf: invalid JSON: /);
  });
});

describe('readers', () => {
  const good = place('{"S":"text","b":false,"I":5,"o":{"n":1},"l":["a","b"],"ip":"10.0.0.1","z":null}');

  test('read in any case, and null or absent as undefined', () => {
    expect(readString(good, 's')).toBe('text');
    expect(readBoolean(good, 'B')).toBe(false);
    expect(readInteger(good, 'i', 0, 10)).toBe(5);
    expect(readStrings(good, 'L')).toEqual(['a', 'b']);
    expect(readList(good, 'l')).toHaveLength(2);
    expect(readText(good, 'IP', 'an address', parseIp)).toEqual(parseIp('10.0.0.1'));
    expect(readString(good, 'z')).toBeUndefined();
    expect(readInteger(good, 'none', 0, 1)).toBeUndefined();
    expect(readObject(good, 'none')).toBeUndefined();
  });

  const bad = place(
    '{"s":1,"b":"true","i":"5","f":1.5,"big":11,"o":[],"l":{},"m":["a",2],"ip":"10.0.0","Backend":{"VNI":"x"}}',
  );
  test.for([
    { read: () => readString(bad, 's'), want: 'net-conf: s: expected a string, got 1' },
    { read: () => readBoolean(bad, 'b'), want: 'net-conf: b: expected true or false, got "true"' },
    { read: () => readInteger(bad, 'i', 0, 10), want: 'net-conf: i: expected integer 0–10, got "5"' },
    { read: () => readInteger(bad, 'f', 0, 10), want: 'net-conf: f: expected integer 0–10, got 1.5' },
    { read: () => readInteger(bad, 'big', 0, 10), want: 'net-conf: big: expected integer 0–10, got 11' },
    { read: () => readInteger(bad, 'big', 12, 20), want: 'net-conf: big: expected integer 12–20, got 11' },
    { read: () => readObject(bad, 'o'), want: 'net-conf: o: expected an object, got []' },
    { read: () => readList(bad, 'l'), want: 'net-conf: l: expected a list, got {}' },
    { read: () => readStrings(bad, 'm'), want: 'net-conf: m[1]: expected a string, got 2' },
    {
      read: () => readText(bad, 'ip', 'an IPv4 address', parseIp),
      want: 'net-conf: ip: expected an IPv4 address, got "10.0.0"',
    },
    {
      read: () => {
        const backend = readObject(bad, 'backend');
        return backend && readInteger(backend, 'VNI', 1, 16777215);
      },
      want: 'net-conf: backend.VNI: expected integer 1–16777215, got "x"',
    },
  ])('$want', ({ read, want }) => {
    let thrown: unknown;
    try {
      read();
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(ConfigError);
    expect((thrown as ConfigError).message).toBe(want);
  });

  test('a converter may refuse by undefined', () => {
    expect(() => readField(good, 's', 'nothing at all', () => undefined)).toThrow(
      'net-conf: s: expected nothing at all, got "text"',
    );
  });
});

describe('showJson', () => {
  test.for([
    { value: 'a\u001b[2J', want: '"a\\u001b[2J"' },
    { value: 'x'.repeat(64), want: `"${'x'.repeat(64)}"` },
    { value: 'x'.repeat(10_000), want: `"${'x'.repeat(65)}…` },
    { value: new Map([['a', 1]]), want: 'an object' },
    { value: [1], want: 'a list' },
    { value: null, want: 'null' },
  ])('$want', ({ value, want }) => {
    expect(showJson(value)).toBe(want);
  });
});

describe('unknownKeys', () => {
  test('names keys that are unknown in any case, with their paths', () => {
    const root = rootPlace(
      'net-conf',
      new Map([
        [
          'Backend',
          new Map([
            ['vni', 1],
            ['Prot', 2],
          ]),
        ],
      ]),
    );
    const backend = readObject(root, 'Backend');
    expect(unknownKeys(root, ['backend'])).toEqual([]);
    expect(backend && unknownKeys(backend, ['VNI', 'Port'])).toEqual(['Backend.Prot']);
  });
});
