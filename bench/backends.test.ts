// The kept runs of the part `backends` keep the part's limit, and the bench's README shows them.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { judgeRatioOf, withInterval } from './limits.ts';
import { type MeasuredPart, readRun } from './run-result.ts';

const folder = join(import.meta.dirname, 'results/backends');
const kernels = readdirSync(folder);
const readme = readFileSync(join(import.meta.dirname, 'README.md'), 'utf8');
const LEAST = 0.98;

function partOf(kernel: string): MeasuredPart {
  const part = readRun(join(folder, kernel, 'result.json')).parts.find(({ name }) => name === 'backends');
  if (part === undefined) throw new Error(`${kernel}: no part backends`);
  return part;
}

test('a run on Debian’s 6.12 is kept', () => {
  expect(kernels).toContain('6.12');
});

describe.each(kernels)('the run kept on %s', (kernel) => {
  const { ratios, failures } = partOf(kernel);

  test('measured both backends without a failure', () => {
    const measures = ['UDP round trips', 'TCP round trips', 'TCP, one stream'];
    const names = ['wireguard', 'ipip'].flatMap((type) => measures.map((measure) => `${type}, ${measure}`));
    expect(ratios.map(({ name }) => name)).toEqual(names.map((name) => `${name}: Weft against flannel`));
    expect(failures).toEqual([]);
  });

  test.for(ratios)('keeps 0.98 of flannel’s: $name', (ratio) => {
    expect(judgeRatioOf(ratio)).toMatchObject({ limit: `≥ ${LEAST}`, kept: true, isUncertain: false });
  });

  test.for(['wireguard', 'ipip'])('is shown in the README: %s', (type) => {
    const cells = ratios.filter(({ name }) => name.startsWith(`${type},`)).map((ratio) => withInterval(ratio, 3));
    expect(readme).toContain(`| ${[kernel, type, ...cells].join(' | ')} |`);
  });
});
