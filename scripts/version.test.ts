import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { withVersion } from './version.mjs';

const root = new URL('../', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, root), 'utf8');
const { version } = JSON.parse(read('package.json')) as { version: string };

test('every file has the version of package.json (npm run release -- version X.Y.Z)', () => {
  for (const [name, text] of withVersion(version)) expect(text, name).toBe(read(name));
});

test('a new version reaches every place, and no other text changes', () => {
  for (const [name, text] of withVersion('98.7.6-rc.1')) {
    expect(text, name).toContain('98.7.6-rc.1');
    expect(text.replaceAll('98.7.6-rc.1', version), name).toBe(read(name));
  }
});

test('no other file names the image with a version', () => {
  // weft.yml is made from the kustomize base by the same script.
  const known = [...withVersion(version).keys(), 'manifests/weft.yml'];
  const folders = ['.github', 'bench', 'flanneld', 'lib', 'manifests', 'scripts'];
  const files = folders.flatMap((folder) =>
    readdirSync(new URL(folder, root), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`),
  );
  const texts = files.filter((name) => /\.(mjs|ts|ya?ml|md|txt)$/.test(name) && !/results|\.test\.ts$/.test(name));
  expect(texts.length).toBeGreaterThan(200);
  const naming = texts.filter((name) => /weft:[0-9]+\.[0-9]+\.[0-9]+/.test(read(name)));
  expect(naming.filter((name) => !known.includes(name))).toEqual([]);
});

test.for(['1.2', 'v1.2.3', '1.2.3+4', '', '1.2.3 '])('refuses %j', (bad) => {
  expect(() => withVersion(bad)).toThrow('version: expected one like 1.2.3');
});

test('says which file has no version where one is expected', () => {
  expect(() => withVersion('1.2.3', () => 'nothing')).toThrow('lib/version.ts: no version after');
});
