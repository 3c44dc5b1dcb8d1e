// `node scripts/reference.mjs`: writes manifests/REFERENCE.md, and the table of findings in manifests/README.md.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { ChartSchema } from './chart.ts';
import { withFindings } from './findings.ts';
import { renderReference } from './render.ts';

/** The text of REFERENCE.md for the contents of a manifests folder. */
export function referenceOf(manifests: string): string {
  const chart = join(manifests, 'helm/weft');
  const schema = JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')) as ChartSchema;
  return renderReference(schema, parse(readFileSync(join(chart, 'values.yaml'), 'utf8')) as object);
}

/** Writes REFERENCE.md, and the table of findings in README.md. */
export function writeReference(manifests: string): void {
  const readme = join(manifests, 'README.md');
  writeFileSync(readme, withFindings(readFileSync(readme, 'utf8')));
  writeFileSync(join(manifests, 'REFERENCE.md'), referenceOf(manifests));
}
