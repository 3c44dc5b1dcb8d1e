import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { findChain, goModule } from './references.ts';

const BUILD_INFO =
  'go1.24\npath\tgithub.com/x/plugins/plugins/main/bridge\nmod\tgithub.com/x/plugins\tv1.9.1\t\nbuild\t-a=b\n';

test.for([
  { name: 'a released module', binary: `\x7fELF\xff\0${BUILD_INFO}\0\xfe`, want: 'x/plugins v1.9.1' },
  { name: 'a checkout', binary: 'path\ta\nmod\tgithub.com/x/y\t(devel)\t\n', want: 'x/y (devel)' },
  { name: 'another program', binary: '\x7fELF mod of nothing', want: undefined },
])('finds the version of $name', ({ binary, want }) => {
  expect(goModule(Buffer.from(binary, 'latin1'))).toBe(want);
});

test('names every part of the chain and which is missing', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-chain-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const name of ['flannel', 'bridge']) writeFileSync(join(folder, name), BUILD_INFO);
  expect(() => findChain(folder)).toThrow('no host-local there');
  writeFileSync(join(folder, 'host-local'), 'unstamped');
  expect(findChain(folder).description).toBe(
    'flannel (x/plugins v1.9.1) → bridge (x/plugins v1.9.1) → host-local (of unknown version)',
  );
});
