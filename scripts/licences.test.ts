import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { bill, bundledPackages, kubectlPluginPackages, writeKubectlPluginLicences } from './licences.mjs';

/** Licences under which anybody may ship the image. A person must decide about any other licence. */
const PERMISSIVE = ['MIT', 'ISC', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'Python-2.0'];

describe('bundledPackages', async () => {
  const packages = await bundledPackages();

  test('are the packages that the programs import, with native ones and without development ones', () => {
    const names = packages.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining(['koffi', `@koromix/koffi-linux-${process.arch}`, 'pino', 'commander']),
    );
    for (const name of ['typescript', 'esbuild', 'vitest', 'raw-socket', 'yaml']) expect(names).not.toContain(name);
    expect(new Set(names).size).toBe(names.length);
  });

  test.for(packages)('$name may be distributed, and its licence is included', ({ licence, text }) => {
    expect(PERMISSIVE).toContain(licence);
    expect(text).toMatch(/permission|licen[cs]e/i);
  });
});

describe('kubectlPluginPackages', async () => {
  const packages = await kubectlPluginPackages();

  test('are the packages that the kubectl plugin imports, without those that only the agent needs', () => {
    const names = packages.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['@kubernetes/client-node', 'ws']));
    for (const name of ['koffi', 'pino', 'typescript', 'esbuild']) expect(names).not.toContain(name);
  });

  test.for(packages)('$name may be distributed, and its licence is included', ({ licence, text }) => {
    expect(PERMISSIVE).toContain(licence);
    expect(text).toMatch(/permission|licen[cs]e/i);
  });

  test('are in the release as a list and as licence texts', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'weft-licences-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    await writeKubectlPluginLicences(folder, '1.2.3');
    const [texts = '', json = ''] = readdirSync(folder).sort();
    expect([texts, json]).toEqual(['kubectl-weft-1.2.3-THIRD-PARTY.txt', 'kubectl-weft-1.2.3.cdx.json']);
    const { components } = JSON.parse(readFileSync(join(folder, json), 'utf8')) as { components: { name: string }[] };
    expect(components.map(({ name }) => name)).toEqual(packages.map(({ name }) => name));
    const text = readFileSync(join(folder, texts), 'utf8');
    for (const { name, version } of packages) expect(text).toContain(`${name} ${version} (`);
  });
});

test('the list names every part once, an npm package by its package URL', () => {
  const part = { name: '@a/b', version: '1.2.3', licence: 'MIT', text: '' };
  const engine = { name: 'musl', version: '1.2.6', licence: 'MIT', sha256: 'ab', text: '' };
  expect(bill([part], [engine], { name: 'weft', version: '0.1.0' })).toMatchObject({
    bomFormat: 'CycloneDX',
    components: [
      { name: '@a/b', version: '1.2.3', purl: 'pkg:npm/%40a/b@1.2.3', licenses: [{ license: { id: 'MIT' } }] },
      { name: 'musl', version: '1.2.6', hashes: [{ alg: 'SHA-256', content: 'ab' }] },
    ],
  });
});
