// Everything that the documents name must exist: files and folders, headings that are linked to, npm scripts, flags and sub-commands.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { flagTable } from '../flanneld/cli/flag-table.ts';
import { subCommands } from '../flanneld/cli/sub-commands.ts';
import { type Mention, mentionsIn } from './support/mentions.ts';

const repository = fileURLToPath(new URL('..', import.meta.url));
/** Folders of generated files, and git's own. They are listed because a fresh machine may have no git to ask. */
const LEFT_OUT = new Set(['.git', 'node_modules', 'dist']);
const files = readdirSync(repository, { withFileTypes: true })
  .filter(({ name }) => !LEFT_OUT.has(name))
  .flatMap((entry) =>
    entry.isDirectory()
      ? readdirSync(join(repository, entry.name), { recursive: true, encoding: 'utf8' }).map((path) =>
          join(entry.name, path),
        )
      : [entry.name],
  )
  .filter(
    (file) =>
      !file.startsWith('bench/results/local/') && statSync(join(repository, file), { throwIfNoEntry: false })?.isFile(),
  );
const names = new Set(files.map((file) => basename(file)));
const documents = files.filter((file) => file.endsWith('.md'));
const scripts = new Set(
  Object.keys((JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { scripts: object }).scripts),
);
const flags = new Set(flagTable.map(({ name }) => name));
const commands = new Set<string>(subCommands.map(({ name }) => name));
/** Options of our scripts, bench and lab are declared in their sources, by name or as `--name`. */
const toolSources = files
  .filter((file) => /^(scripts|bench|test)\/.*\.(ts|mjs)$/.test(file) && !/\.test\.ts$/.test(file))
  .map((file) => readFileSync(join(repository, file), 'utf8'))
  .join('\n');

function isOption(name: string): boolean {
  return flags.has(name) || new RegExp(`--${name}\\b|\\b${name}['"]?: \\{`).test(toolSources);
}

function isThere(path: string, document: string): boolean {
  const bare = path.replace(/\/$/, '');
  const places = [bare, normalize(join(dirname(document), bare))];
  if (places.some((place) => existsSync(join(repository, place)))) return true;
  if (!bare.includes('*')) return false;
  const pattern = new RegExp(`^${bare.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}`);
  return files.some((file) => pattern.test(file));
}

function isTrue({ kind, text }: Mention, document: string): boolean {
  switch (kind) {
    case 'path':
      return isThere(text, document);
    case 'file':
      return names.has(text);
    case 'script':
      return scripts.has(text);
    case 'flag':
      return flags.has(text);
    case 'option':
      return isOption(text);
    case 'sub-command':
      return commands.has(text);
  }
}

describe('what the documents name does exist', () => {
  test.for(documents)('%s', (document) => {
    const text = readFileSync(join(repository, document), 'utf8');
    const wrong = mentionsIn(text).filter((mention) => !isTrue(mention, document));
    expect(wrong.map(({ line, kind, text }) => `${document}:${line}: no such ${kind}: ${text}`)).toEqual([]);
  });

  test('a sentence about things that do not exist is found (control)', () => {
    const text =
      'See [x](nope.md), `lib/nope.ts`, `npm run nope`, `flanneld nope --nope`, `nope.ts`, `--no-such-option`.';
    const wrong = mentionsIn(text).filter((mention) => !isTrue(mention, 'README.md'));
    expect(wrong.map(({ kind }) => kind).sort()).toEqual([
      'file',
      'flag',
      'option',
      'path',
      'path',
      'script',
      'sub-command',
    ]);
  });
});

test('the answer to each question of "Where is it decided?" has two files at most', () => {
  const text = readFileSync(join(repository, 'ARCHITECTURE.md'), 'utf8');
  const section = text.split('## Where is it decided?')[1]?.split('\n## ')[0] ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| question'));
  expect(rows.length).toBeGreaterThanOrEqual(12);
  for (const row of rows) {
    const paths = [...row.matchAll(/`((?:flanneld|cni-plugin|lib)\/[^`]+)`/g)].map(([, path = '']) => path);
    expect({ row, count: paths.length }).toEqual({ row, count: paths.length > 1 ? 2 : 1 });
    expect(paths.filter((path) => !existsSync(join(repository, path)))).toEqual([]);
  }
});
