import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseJson } from './json.ts';
import { findSyntaxError } from './json-syntax.ts';

function accepted(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

describe('findSyntaxError', () => {
  test.for([
    {
      name: 'a trailing comma',
      text: '{\n  "a": 1,\n}',
      want: 'line 3 column 1: expected a key in double quotes, got "}"',
    },
    { name: 'a trailing comma in a list', text: '[1,]', want: 'line 1 column 4: expected a value, got "]"' },
    { name: 'a missing comma', text: '{"a": 1\n "b": 2}', want: 'line 2 column 2: expected , or }, got "\\""' },
    { name: 'a missing colon', text: '{"a" 1}', want: 'line 1 column 6: expected :, got "1"' },
    {
      name: 'a truncated document',
      text: '{"a": [1',
      want: 'line 1 column 9: expected , or ], got the end of the text',
    },
    { name: 'nothing', text: ' \n', want: 'line 2 column 1: expected a value, got the end of the text' },
    { name: 'a comment', text: '{ // c\n}', want: 'line 1 column 3: expected a key in double quotes or }, got "/"' },
    { name: 'single quotes', text: "{'a':1}", want: 'line 1 column 2: expected a key in double quotes or }, got "\'"' },
    { name: 'an unquoted word', text: '{"a": vxlan}', want: 'line 1 column 7: expected a value, got "v"' },
    {
      name: 'a closing bracket of the wrong kind',
      text: '{"a": [1}',
      want: 'line 1 column 9: expected , or ], got "}"',
    },
    { name: 'text after the end', text: '{} {}', want: 'line 1 column 4: expected the end of the text, got "{"' },
    { name: 'a leading zero', text: '[01]', want: 'line 1 column 3: expected , or ], got "1"' },
    {
      name: 'an open string',
      text: '"abc',
      want: 'line 1 column 5: expected a closing double quote, got the end of the text',
    },
    {
      name: 'a raw line end in a string',
      text: '"a\nb"',
      want: 'line 1 column 3: expected no raw control character in a string, got "\\n"',
    },
    {
      name: 'an unknown escape',
      text: '"\\x41"',
      want: 'line 1 column 3: expected an escape such as \\n or \\u0041, got "x"',
    },
    {
      name: 'half an escape',
      text: '"\\u00"',
      want: 'line 1 column 3: expected an escape such as \\n or \\u0041, got "u"',
    },
    { name: 'a byte order mark', text: '\ufeff{}', want: 'line 1 column 1: expected a value, got "\ufeff"' },
    { name: 'half a surrogate pair, whole', text: '[😀]', want: 'line 1 column 2: expected a value or ], got "😀"' },
  ])('points at $name', ({ text, want }) => {
    expect(findSyntaxError(text)).toBe(want);
  });

  test('agrees with parseJson’s error, without quoting the document', () => {
    expect(() => parseJson('{"password": "hunter2",}')).toThrow(
      /^invalid JSON: line 1 column 24: expected a key in double quotes, got "}"$/,
    );
  });

  test('needs no stack: 65,536 open lists', () => {
    expect(findSyntaxError('['.repeat(65_536))).toContain('expected a value or ], got the end of the text');
  });

  test('leaves longer text to the engine', () => {
    expect(findSyntaxError('['.repeat(65_537))).toBeUndefined();
    expect(() => parseJson(`${' '.repeat(65_537)}{`)).toThrow(/^invalid JSON: ./);
  });

  test('agrees with JSON.parse on mutilated documents', () => {
    const mutilated = fc
      .tuple(fc.json({ maxDepth: 3 }), fc.nat(), fc.nat(3), fc.constantFrom(...'{}[],:"\\ 0-.eEtn\n\u0001x'))
      .map(([text, place, cut, put]) => {
        const at = place % (text.length + 1);
        return text.slice(0, at) + put + text.slice(at + cut);
      });
    fc.assert(
      fc.property(fc.oneof(mutilated, fc.json()), (text) => {
        expect(findSyntaxError(text) === undefined, text).toBe(accepted(text));
      }),
      { numRuns: 2000 },
    );
  });
});
