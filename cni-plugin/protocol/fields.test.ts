import { describe, expect, test } from 'vitest';
import { isJsonObject, parseJson } from '../../lib/json.ts';
import {
  boolField,
  hasUnknownKey,
  intField,
  objectField,
  objectsField,
  rootFields,
  stringField,
  stringsField,
} from './fields.ts';
import { escapeForGo } from './go-json.ts';

function fields(text: string) {
  const value = parseJson(text);
  if (!isJsonObject(value)) throw new Error('not an object');
  return rootFields(value);
}

describe('reading a field', () => {
  test.for([
    { text: '{"mtu":1}', want: 1 },
    { text: '{"MTU":1}', want: 1 },
    { text: '{"MTU":2,"mtu":1}', want: 1 },
    { text: '{"Mtu":1,"MTU":2}', want: 2 },
    { text: '{"mtu":null,"MTU":2}', want: 2 },
    { text: '{"mtu":null}', want: undefined },
    { text: '{}', want: undefined },
  ])('of $text gives $want', ({ text, want }) => {
    expect(intField(fields(text), 'mtu')).toBe(want);
  });

  test.for([
    {
      read: () => intField(fields('{"mtu":1.5}'), 'mtu'),
      want: 'mtu: expected a whole number, got 1.5',
    },
    { read: () => stringField(fields('{"a":true}'), 'a'), want: 'a: expected a string, got true' },
    { read: () => boolField(fields('{"a":"x"}'), 'a'), want: 'a: expected true or false, got "x"' },
    {
      read: () => stringsField(fields('{"a":[1]}'), 'a'),
      want: 'a[0]: expected a string, got 1',
    },
    {
      read: () => objectsField(fields('{"a":[1]}'), 'a'),
      want: 'a[0]: expected an object, got 1',
    },
    {
      read: () => stringField(objectField(fields('{"a":{"b":{}}}'), 'a') ?? fields('{}'), 'b'),
      want: 'a.b: expected a string, got {}',
    },
  ])('refuses $want', ({ read, want }) => {
    expect(read).toThrow(expect.objectContaining({ code: 999, message: `json: ${want}` }));
  });

  test('unknown keys are listed in any letter case, except those of the runtime', () => {
    expect(hasUnknownKey(fields('{"Name":1,"cni.dev/attachments":[]}').object, ['name'])).toBe(false);
    expect(hasUnknownKey(fields('{"names":1}').object, ['name'])).toBe(true);
  });
});

test.for([
  { text: '"plain é"', want: '"plain é"' },
  { text: '"<a>&\u2028\u2029é"', want: '"\\u003ca\\u003e\\u0026\\u2028\\u2029é"' },
  { text: '', want: '' },
])('escapes $text as Go does', ({ text, want }) => {
  expect(escapeForGo(text)).toBe(want);
});
