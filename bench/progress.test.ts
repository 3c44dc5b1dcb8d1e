import { expect, test } from 'vitest';
import { progressLine } from './progress.ts';

function recording(isTTY: boolean) {
  const written: string[] = [];
  return { written, isTTY, write: (text: string) => written.push(text) };
}

test('in a terminal the line says how far the part is, how long it still takes, and what follows', () => {
  const output = recording(true);
  let now = 0;
  const progress = progressLine(output, '[1/2] ', ' · then peers: about 60 s', () => now);
  progress.step('ADD', 0, 100);
  now = 2000;
  progress.step('ADD', 25, 100);
  progress.clear();
  expect(output.written).toEqual([
    '\r\x1b[K[1/2] ADD: 0 of 100 · then peers: about 60 s',
    '\r\x1b[K[1/2] ADD: 25 of 100, 6 s left · then peers: about 60 s',
    '\r\x1b[K',
  ]);
});

test('elsewhere each step is printed once', () => {
  const output = recording(false);
  const progress = progressLine(output, '[2/2] ', '');
  progress.step('lab', 0, 1);
  for (const done of [0, 1, 2]) progress.step('pods', done, 3);
  progress.clear();
  expect(output.written).toEqual(['[2/2] lab\n', '[2/2] pods: 3 steps\n']);
});
