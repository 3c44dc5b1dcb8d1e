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
      want: 'number 1.5 into Go struct field NetConf.mtu of type int',
    },
    { read: () => stringField(fields('{"a":true}'), 'a'), want: 'bool into Go struct field NetConf.a of type string' },
    { read: () => boolField(fields('{"a":"x"}'), 'a'), want: 'string into Go struct field NetConf.a of type bool' },
    {
      read: () => stringsField(fields('{"a":[1]}'), 'a'),
      want: 'number into Go struct field NetConf.a of type string',
    },
    {
      read: () => objectsField(fields('{"a":[1]}'), 'a', 'T'),
      want: 'number into Go struct field NetConf.a of type T',
    },
    {
      read: () => stringField(objectField(fields('{"a":{"b":{}}}'), 'a') ?? fields('{}'), 'b'),
      want: 'object into Go struct field NetConf.a.b of type string',
    },
  ])('refuses $want', ({ read, want }) => {
    expect(read).toThrow(expect.objectContaining({ code: 999, message: `json: cannot unmarshal ${want}` }));
  });

  test('keys nobody knows are told, in any case, the runtime’s own aside', () => {
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
