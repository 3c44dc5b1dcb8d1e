import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { parseCommandLine } from '../cli/flags.ts';
import { checkPaths } from './check-paths.ts';

test('agents that share a folder and have the same process id do not disturb each other', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-paths-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  // The file with which another agent tries the folder at this moment, in a container where it has our process id.
  const others = join(folder, `.weft-probe.${process.pid}`);
  writeFileSync(others, '');
  const line = parseCommandLine([`--subnet-dir=${folder}`, `--subnet-file=${join(folder, 'subnet.env')}`], {});
  if (!('options' in line)) throw new Error('no options');
  checkPaths(line.options);
  expect(existsSync(others)).toBe(true);
  expect(readdirSync(folder)).toHaveLength(1);
});
