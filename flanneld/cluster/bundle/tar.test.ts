import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { makeTarGz } from './tar.ts';

test('tar(1) unpacks it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-tar-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const files = [
    { name: 'README.txt', text: 'one → two\n' },
    { name: 'nodes/node-1/empty', text: '' },
    { name: `nodes/${'x'.repeat(90)}`, text: 'y'.repeat(1025) },
  ];
  const archive = join(folder, 'a.tar.gz');
  writeFileSync(archive, makeTarGz(files, new Date('2026-11-29T02:00:00Z')));
  execFileSync('tar', ['-xzf', archive, '-C', folder]);
  for (const { name, text } of files) expect(readFileSync(join(folder, name), 'utf8')).toBe(text);
  const listed = execFileSync('tar', ['-tvzf', archive, '--utc'], { encoding: 'utf8' });
  expect(listed.split('\n')[0]).toMatch(/^-rw-r--r-- 0\/0 +12 2026-11-29 02:00 README\.txt$/);
});

test('a name that is too long is refused', () => {
  expect(() => makeTarGz([{ name: 'x'.repeat(101), text: '' }], new Date())).toThrow('longer than 100 octets');
});
