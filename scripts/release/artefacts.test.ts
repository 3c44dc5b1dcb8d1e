import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { PLUGIN_NAMES } from '../../lib/plugin-names.ts';
import { findProgram, runProgram } from '../../test/cluster/manifests/find-program.ts';
import { needs } from '../../test/support/needs.ts';
import { ImageLayout } from '../image/oci.mjs';
import { packChart, packPlugins, withImage, writeManifests, writeSums } from './artefacts.mjs';
import { releaseNotes } from './notes.mjs';

const manifests = fileURLToPath(new URL('../../manifests', import.meta.url));
const { version } = JSON.parse(readFileSync(join(manifests, '../package.json'), 'utf8')) as { version: string };
const epoch = 1_700_000_000;
const image = 'registry.example/weft';

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'weft-release-'));
  onTestFinished(() => rmSync(made, { recursive: true }));
  return made;
}

describe('release notes', () => {
  const changelog =
    '# Changelog\n\n## Unreleased\n\n- One thing that\n  goes on.\n- Two.\n\n## 1.2.3 (2026-01-01)\n\n- Old.\n\n## 1.2.2\n\n';

  test.for([
    { name: 'the version’s own text', version: '1.2.3', options: {}, want: '- Old.\n' },
    {
      name: 'what is not released yet, in a dry run',
      version: '1.3.0',
      options: { unreleased: true },
      want: '- One thing that goes on.\n- Two.\n',
    },
  ])('are $name', ({ version: of, options, want }) => {
    expect(releaseNotes(changelog, of, options)).toBe(want);
  });

  test('are an error where the CHANGELOG does not name the version or says nothing about it', () => {
    expect(() => releaseNotes(changelog, '1.3.0')).toThrow('CHANGELOG.md has no "## 1.3.0"');
    expect(() => releaseNotes(changelog, '1.2.2')).toThrow('says nothing below "## 1.2.2"');
  });
});

describe('manifests', () => {
  test('name our image by its digest everywhere', () => {
    const out = folder();
    const reference = `${image}:${version}@sha256:${'a'.repeat(64)}`;
    writeManifests({ manifests, folder: out, version, reference });
    for (const [name, count] of [
      ['weft.yml', 1],
      ['cleanup.yml', 2],
    ] as const) {
      const text = readFileSync(join(out, name), 'utf8');
      expect(text.split(`image: ${reference}\n`)).toHaveLength(count + 1);
      expect(text).not.toContain('image: weft:');
    }
    expect(readFileSync(join(out, 'weft-policy.yml'), 'utf8')).toBe(
      readFileSync(join(manifests, 'weft-policy.yml'), 'utf8'),
    );
  });

  test('of another version are refused', () => {
    expect(() => withImage('image: weft:9.9.9\n', version, image)).toThrow(`no "image: weft:${version}"`);
  });
});

async function pluginArchive(out: string): Promise<string> {
  const layout = new ImageLayout(join(folder(), 'layout'), epoch);
  for (const arch of ['amd64', 'arm64']) {
    const root = folder();
    for (const path of ['usr/local/bin', 'opt/weft/cni', 'opt/weft/licences'])
      mkdirSync(join(root, path), { recursive: true });
    writeFileSync(join(root, 'usr/local/bin/node'), '');
    writeFileSync(join(root, 'opt/weft/cni/flannel'), `for ${arch}`, { mode: 0o755 });
    for (const name of ['LICENSE', 'licences/THIRD-PARTY.txt']) writeFileSync(join(root, 'opt/weft', name), name);
    await layout.add(root, arch, {});
  }
  const file = join(out, 'image.tar');
  layout.writeArchive(file, 'docker.io/library/weft:1.2.3');
  return file;
}

test('the plugins of each processor are one file and links to it, in the reference plugins’ layout', async () => {
  const [work, out] = [folder(), folder()];
  const archive = await pluginArchive(work);
  await packPlugins({ archive, folder: out, work, version: '1.2.3', epoch, names: PLUGIN_NAMES });
  for (const arch of ['amd64', 'arm64']) {
    const bin = folder();
    execFileSync('tar', ['-C', bin, '-xzf', join(out, `cni-weft-linux-${arch}-1.2.3.tgz`)]);
    for (const name of PLUGIN_NAMES) expect(readFileSync(join(bin, name), 'utf8')).toBe(`for ${arch}`);
    const listed = execFileSync('ls', ['-1', bin], { encoding: 'utf8' }).trim().split('\n');
    expect(listed.sort()).toEqual([...PLUGIN_NAMES, 'LICENSE', 'THIRD-PARTY.txt'].sort());
  }
});

describe('the chart', () => {
  test('is one folder with the image’s repository filled in, the same bytes each time', () => {
    const [one, two] = [folder(), folder()];
    for (const out of [one, two]) packChart({ manifests, folder: out, work: folder(), version, image, epoch });
    const name = `weft-${version}.tgz`;
    expect(readFileSync(join(one, name)).equals(readFileSync(join(two, name)))).toBe(true);
    const values = execFileSync('tar', ['-xzOf', join(one, name), 'weft/values.yaml'], { encoding: 'utf8' });
    expect(values).toContain(`    repository: ${image}\n    tag: ${version}\n`);
  });

  test('is rendered by helm with that image', () => {
    const helm = findProgram('helm');
    needs.machine(helm !== undefined, 'helm (on PATH)');
    const out = folder();
    packChart({ manifests, folder: out, work: folder(), version, image, epoch });
    const text = runProgram(helm ?? '', [
      'template',
      'weft',
      join(out, `weft-${version}.tgz`),
      '--kube-version',
      '1.31.0',
    ]);
    expect(text).toMatch(new RegExp(`image: "?${image}:${version.replaceAll('.', '\\.')}"?$`, 'm'));
  });
});

test('SHA256SUMS finds a changed file', () => {
  const out = folder();
  for (const name of ['b', 'a']) writeFileSync(join(out, name), name);
  writeSums(out);
  const check = (): string =>
    execFileSync('sha256sum', ['--check', '--quiet', 'SHA256SUMS'], { cwd: out, encoding: 'utf8', stdio: 'pipe' });
  expect(check()).toBe('');
  expect(readFileSync(join(out, 'SHA256SUMS'), 'utf8')).toMatch(/^[0-9a-f]{64} {2}a\n[0-9a-f]{64} {2}b\n$/);
  writeFileSync(join(out, 'a'), 'changed');
  expect(check).toThrow();
});
