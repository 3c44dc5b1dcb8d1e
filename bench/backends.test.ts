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

/**
 * Ratios that say nothing, because in that run the medians are of different rhythms of the scheduler (see the README). The fastest rounds,
 * which are of the same rhythm, must keep the limit.
 */
const TWO_RHYTHMS: ReadonlyMap<string, readonly string[]> = new Map([
  ['6.12', ['wireguard, UDP round trips: Weft against flannel']],
]);

function partOf(kernel: string): MeasuredPart {
  const part = readRun(join(folder, kernel, 'result.json')).parts.find(({ name }) => name === 'backends');
  if (part === undefined) throw new Error(`${kernel}: no part backends`);
  return part;
}

test('a run on Debian’s 6.12 is kept', () => {
  expect(kernels).toContain('6.12');
});

describe.each(kernels)('the run kept on %s', (kernel) => {
  const { ratios, failures, figures } = partOf(kernel);
  const isOfTwo = (name: string): boolean => TWO_RHYTHMS.get(kernel)?.includes(name) === true;
  const fastest = (key: string): number =>
    Math.max(...(figures.find((one) => one.key === key)?.samples ?? []).map(Number));

  test('measured both backends without a failure', () => {
    const measures = ['UDP round trips', 'TCP round trips', 'TCP, one stream'];
    const names = ['wireguard', 'ipip'].flatMap((type) => measures.map((measure) => `${type}, ${measure}`));
    expect(ratios.map(({ name }) => name)).toEqual(names.map((name) => `${name}: Weft against flannel`));
    expect(failures).toEqual([]);
  });

  test.for(ratios.filter(({ name }) => !isOfTwo(name)))('keeps 0.98 of flannel’s: $name', (ratio) => {
    expect(judgeRatioOf(ratio)).toMatchObject({ limit: `≥ ${LEAST}`, kept: true, isUncertain: false });
  });

  test.for(ratios.filter(({ name }) => isOfTwo(name)))('keeps it in the fastest rounds: $name', (ratio) => {
    const share = fastest(ratio.of) / fastest(ratio.against);
    expect(share).toBeGreaterThanOrEqual(LEAST);
    expect(readme).toContain(`${fastest(ratio.of).toFixed(0)} against ${fastest(ratio.against).toFixed(0)}`);
  });

  test.for(['wireguard', 'ipip'])('is shown in the README: %s', (type) => {
    const cells = ratios.filter(({ name }) => name.startsWith(`${type},`)).map((ratio) => withInterval(ratio, 3));
    expect(readme).toContain(`| ${[kernel, type, ...cells].join(' | ')} |`);
  });
});
