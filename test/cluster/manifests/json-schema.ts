// A validator for that part of JSON Schema (draft 7) that values.schema.json uses. An unknown keyword is an error, so that no rule
// of the schema stays untested. Helm has a complete validator; this one works where helm is missing.

import type { Json, JsonObject } from './documents.ts';

type Rule = (value: Json, argument: Json, path: string, schema: JsonObject) => string[];

const RULES: Readonly<Record<string, Rule>> = {
  $schema: () => [],
  description: () => [],
  type: (value, types, path) => {
    const allowed = Array.isArray(types) ? types : [types];
    return typesOf(value).some((type) => allowed.includes(type)) ? [] : [`${path}: expected ${allowed.join(' or ')}`];
  },
  enum: (value, allowed, path) => ((allowed as Json[]).includes(value) ? [] : [`${path}: expected ${String(allowed)}`]),
  minimum: (value, least, path) => (Number(value) < Number(least) ? [`${path}: at least ${String(least)}`] : []),
  maximum: (value, most, path) => (Number(value) > Number(most) ? [`${path}: at most ${String(most)}`] : []),
  minLength: (value, least, path) => (String(value).length < Number(least) ? [`${path}: too short`] : []),
  pattern: (value, pattern, path) =>
    typeof value !== 'string' || new RegExp(String(pattern)).test(value)
      ? []
      : [`${path}: expected ${String(pattern)}`],
  items: (value, schema, path) =>
    Array.isArray(value) ? value.flatMap((item, at) => check(item, schema as JsonObject, `${path}[${at}]`)) : [],
  required: (value, names, path) =>
    (names as string[]).filter((name) => !(name in asObject(value))).map((name) => `${path}: needs ${name}`),
  properties: (value, schemas, path) =>
    Object.entries(asObject(value)).flatMap(([name, item]) => {
      const schema = asObject(schemas)[name];
      return schema === undefined ? [] : check(item, schema as JsonObject, `${path}.${name}`);
    }),
  additionalProperties: (value, rule, path, schema) =>
    Object.entries(asObject(value))
      .filter(([name]) => !(name in asObject(schema['properties'] ?? {})))
      .flatMap(([name, item]) =>
        rule === false ? [`${path}.${name}: unknown`] : check(item, rule as JsonObject, `${path}.${name}`),
      ),
};

/**
 * Returns one line, with its path, for everything in `value` that the schema refuses; an empty list when it accepts the value.
 * Throws on an unknown keyword.
 */
export function schemaErrors(value: Json, schema: Json): string[] {
  return check(value, schema as JsonObject, '');
}

function check(value: Json, schema: JsonObject, path: string): string[] {
  return Object.entries(schema).flatMap(([keyword, argument]) => {
    const rule = RULES[keyword];
    if (rule === undefined) throw new Error(`values.schema.json: a keyword no test knows: ${keyword}`);
    // By the specification, rules about numbers, texts and members do not concern values of other types.
    if (value === null && keyword !== 'type' && keyword !== 'enum') return [];
    return rule(value, argument, path, schema);
  });
}

function typesOf(value: Json): string[] {
  if (value === null) return ['null'];
  if (Array.isArray(value)) return ['array'];
  if (typeof value === 'number') return Number.isInteger(value) ? ['number', 'integer'] : ['number'];
  return [typeof value];
}

function asObject(value: Json): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
}
