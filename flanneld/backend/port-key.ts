// The key `Port`, which several backends have.

import { type JsonPlace, readField } from '../../lib/json-fields.ts';
import type { KeyDoc } from '../../lib/key-doc.ts';

export function portKey(standard: number) {
  return {
    type: 'integer',
    range: [0, 65_535],
    default: standard,
    help: 'UDP port of every node; 0: the default',
  } as const satisfies KeyDoc;
}

/** The port, 1–65535. 0 is accepted because flannel documents it as "the default"; the error says which port that is. */
export function readPort(place: JsonPlace, standard: number): number {
  const port = readField(place, 'Port', `integer 1–65535 (or 0 for ${standard})`, (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 65535 ? value : undefined,
  );
  return port || standard;
}
