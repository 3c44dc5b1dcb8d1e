// Makes the reference's rows for the chart's values: names, types and descriptions come from values.schema.json, defaults from values.yaml.

/** A line of the table: key, allowed values, default, effect. */
export type Row = readonly [key: string, takes: string, standard: string, help: string];

/** The part of JSON Schema that is used here. */
export interface ChartSchema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, ChartSchema>>;
}

/** One row for each value. An object whose members are in the schema is replaced by their rows. */
export function chartRows(schema: ChartSchema, values: unknown, path = ''): Row[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, member]): Row[] => {
    const at = path === '' ? name : `${path}.${name}`;
    const value = isRecord(values) ? values[name] : undefined;
    const rows = chartRows(member, value, at);
    return rows.length > 0 ? rows : [[at, takes(member), standard(value), member.description ?? '']];
  });
}

function takes({ type = '', enum: choices, minimum, maximum }: ChartSchema): string {
  if (choices !== undefined) return choices.map((choice) => JSON.stringify(choice)).join(', ');
  const names = [type].flat().filter((name) => name !== 'null');
  const range = minimum === undefined || maximum === undefined ? '' : `, ${minimum}–${maximum}`;
  return `${names.join(' or ')}${range}`;
}

/** Longer defaults are not shown. Readers find them in values.yaml. */
const SHOWN = 60;

function standard(value: unknown): string {
  if (value === undefined || value === null) return '';
  const text = JSON.stringify(value);
  return text.length > SHOWN ? 'see values.yaml' : text;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
