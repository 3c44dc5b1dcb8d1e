// Lint rules keep the two programs apart and the CNI executable synchronous. This tests that each of them reports a violation.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';

const repository = resolve(import.meta.dirname, '../..');

/** A file, its text and the rule that must refuse it; `want: undefined` is text that must pass. */
interface Case {
  name: string;
  path: string;
  text: string;
  want: string | undefined;
}

const plugin = 'plugin';
const globals = 'lint/style/noRestrictedGlobals';
const imports = 'lint/style/noRestrictedImports';

const cases: Case[] = [
  { name: 'an async function', path: 'cni-plugin/a.ts', text: 'export async function f() { g(); }', want: plugin },
  { name: 'an async arrow function', path: 'lib/a.ts', text: 'export const f = async () => g();', want: plugin },
  { name: 'an async method', path: 'lib/a.ts', text: 'export const o = { async m() { g(); } };', want: plugin },
  {
    name: 'a private async method',
    path: 'lib/a.ts',
    text: 'export class C { private async m() { g(); } }',
    want: plugin,
  },
  {
    name: 'a static async generator',
    path: 'lib/a.ts',
    text: 'export class C { static async *m() { g(); } }',
    want: plugin,
  },
  { name: 'an await', path: 'cni-plugin/a.ts', text: 'export const x = await g;', want: plugin },
  { name: 'a for await', path: 'lib/a.ts', text: 'for await (const x of g) f(x);', want: plugin },
  { name: 'an import()', path: 'lib/sys/a.ts', text: "export const f = () => import('./b.ts');", want: plugin },
  { name: 'a promise by its constructor', path: 'lib/a.ts', text: 'export const p = new Promise(f);', want: globals },
  { name: 'a promise type', path: 'lib/a.ts', text: 'export type P = Promise<void>;', want: globals },
  { name: 'a promise by globalThis', path: 'lib/a.ts', text: 'export const p = globalThis.Promise;', want: plugin },
  { name: 'Math.random', path: 'lib/a.ts', text: 'export const r = Math.random();', want: plugin },
  { name: 'a Proxy', path: 'lib/a.ts', text: 'export const p = new Proxy({}, {});', want: globals },
  { name: 'a TextEncoder', path: 'cni-plugin/a.ts', text: 'export const e = new TextEncoder();', want: globals },
  { name: 'a Buffer', path: 'cni-plugin/a.ts', text: "export const b = Buffer.from('');", want: globals },
  { name: 'a timer', path: 'lib/a.ts', text: 'setTimeout(f, 1);', want: globals },
  { name: 'eval', path: 'lib/a.ts', text: "(0, eval)('1');", want: globals },
  { name: 'a node: import', path: 'cni-plugin/a.ts', text: "export { a } from 'node:fs';", want: imports },
  { name: 'a node: import with a path', path: 'lib/a.ts', text: "import 'node:fs/promises';", want: imports },
  { name: 'a *-node.ts import', path: 'cni-plugin/a.ts', text: "import '../lib/exec-node.ts';", want: imports },
  { name: 'the koffi binding', path: 'lib/a.ts', text: "import './sys/koffi.ts';", want: imports },
  { name: 'flanneld from cni-plugin', path: 'cni-plugin/a.ts', text: "import '../flanneld/b.ts';", want: imports },
  { name: 'cni-plugin from flanneld', path: 'flanneld/b/a.ts', text: "import '../../cni-plugin/b.ts';", want: imports },
  { name: 'flanneld from lib', path: 'lib/a-node.ts', text: "import '../flanneld/b.ts';", want: imports },
  { name: 'cni-plugin from a test in lib', path: 'lib/a.test.ts', text: "import '../cni-plugin/b.ts';", want: imports },
  { name: 'test from flanneld', path: 'flanneld/a.ts', text: "import '../test/lab/b.ts';", want: imports },
  { name: 'bench from lib', path: 'lib/a-node.ts', text: "import '../bench/b.ts';", want: imports },
  { name: 'pino in lib', path: 'lib/a-node.ts', text: "import 'pino';", want: imports },
  { name: 'prom-client in lib', path: 'lib/a-node.ts', text: "import 'prom-client';", want: imports },
  {
    name: 'an undeclared package',
    path: 'flanneld/a.ts',
    text: "import 'left-pad';",
    want: 'lint/correctness/noUndeclaredDependencies',
  },
  {
    name: 'a development package in the agent',
    path: 'flanneld/a.ts',
    text: "import 'vitest';",
    want: 'lint/correctness/noUndeclaredDependencies',
  },
  {
    name: 'an import without extension',
    path: 'lib/a.ts',
    text: "import './cycle';",
    want: 'lint/correctness/useImportExtensions',
  },
  { name: 'an import cycle', path: 'lib/a.ts', text: "import './cycle.ts';", want: 'lint/suspicious/noImportCycles' },
  { name: 'any', path: 'lib/a.ts', text: 'export const x: any = 1;', want: 'lint/suspicious/noExplicitAny' },
  {
    name: 'a non-null assertion',
    path: 'lib/a.ts',
    text: 'export const f = (x?: string) => x!.at(0);',
    want: 'lint/style/noNonNullAssertion',
  },
  { name: 'console in the agent', path: 'flanneld/a.ts', text: "console.log('');", want: 'lint/suspicious/noConsole' },
  { name: 'a default export', path: 'lib/a.ts', text: 'export default 1;', want: 'lint/style/noDefaultExport' },
  {
    name: 'process.env outside main.ts',
    path: 'flanneld/a.ts',
    text: 'export const e = process.env;',
    want: 'lint/style/noProcessEnv',
  },
  { name: 'an enum', path: 'lib/a.ts', text: 'export enum E { A }', want: 'lint/style/noEnum' },
  {
    name: 'a file name that is not kebab-case',
    path: 'lib/aB.ts',
    text: 'export const x = 1;',
    want: 'lint/style/useFilenamingConvention',
  },
  {
    name: 'a file of 401 lines',
    path: 'lib/a.ts',
    text: 'f();\n'.repeat(401),
    want: 'lint/style/noExcessiveLinesPerFile',
  },
  {
    name: 'a function of 61 lines',
    path: 'lib/a.ts',
    text: `export function f() {\n${'g();\n'.repeat(61)}}`,
    want: 'lint/complexity/noExcessiveLinesPerFunction',
  },
  {
    name: 'a function too complex',
    path: 'lib/a.ts',
    text: `export function f(x) { if (x) { if (x) { if (x) { if (x) { if (x) { if (x) { g(); } } } } } } }`,
    want: 'lint/complexity/noExcessiveCognitiveComplexity',
  },
  {
    name: 'a floating promise',
    path: 'flanneld/a.ts',
    text: 'async function f(): Promise<void> { await g; }\nf();',
    want: 'lint/nursery/noFloatingPromises',
  },
  {
    name: 'await in a *-node.ts file',
    path: 'lib/a-node.ts',
    text: 'export const f = async () => await g;',
    want: undefined,
  },
  {
    name: 'await in a test of lib',
    path: 'lib/a.test.ts',
    text: 'export const f = async () => await g;',
    want: undefined,
  },
  { name: 'await in the agent', path: 'flanneld/a.ts', text: 'export const f = async () => await g;', want: undefined },
  {
    name: 'test/support in a test of lib',
    path: 'lib/a.test.ts',
    text: "import '../test/support/b.ts';",
    want: undefined,
  },
  { name: 'lib in cni-plugin', path: 'cni-plugin/a.ts', text: "import '../lib/ip.ts';", want: undefined },
  {
    name: 'a method whose name begins with async',
    path: 'lib/a.ts',
    text: 'export class C { asyncLike() { g(); } }',
    want: undefined,
  },
  { name: 'process.env in main.ts', path: 'flanneld/main.ts', text: 'export const e = process.env;', want: undefined },
];

interface Diagnostic {
  category: string;
  location: { path: string };
}

/** The rules that a case may name; other faults of the fixtures (unused names, undeclared packages) do not matter here. */
const watched = new Set(cases.flatMap(({ want }) => want ?? []));

/** Where a case's file lies: a folder of its own under the one its path names, so that one lint run covers all cases. */
function placed(path: string, index: number): string {
  const [top, ...rest] = path.split('/');
  return join(top ?? '', `case-${index}`, ...rest);
}

/** Lints every case in a copy of the repository's configuration; returns the rules that report each file. */
function lintCases(): Map<string, string[]> {
  const root = mkdtempSync(join(tmpdir(), `weft-lint-${process.pid}-`));
  try {
    cpSync(join(repository, 'scripts/lint'), join(root, 'scripts/lint'), { recursive: true });
    cpSync(join(repository, 'package.json'), join(root, 'package.json'));
    const config = JSON.parse(readFileSync(join(repository, 'biome.json'), 'utf8'));
    writeFileSync(join(root, 'biome.json'), JSON.stringify({ ...config, vcs: { enabled: false } }));
    for (const [index, { path, text }] of cases.entries()) {
      const file = join(root, placed(path, index));
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
      writeFileSync(join(dirname(file), 'cycle.ts'), "import './a.ts';");
    }
    const biome = join(repository, 'node_modules/@biomejs/biome/bin/biome');
    const run = spawnSync(process.execPath, [biome, 'lint', '--reporter=json', '--max-diagnostics=none'], {
      cwd: root,
      encoding: 'utf8',
    });
    const rules = new Map<string, string[]>();
    for (const { category, location } of JSON.parse(run.stdout).diagnostics as Diagnostic[]) {
      rules.set(location.path, [...(rules.get(location.path) ?? []), category]);
    }
    return rules;
  } finally {
    rmSync(root, { recursive: true });
  }
}

describe('lint', () => {
  let rules = new Map<string, string[]>();
  beforeAll(() => {
    rules = lintCases();
  });

  for (const [index, { name, path, want }] of cases.entries()) {
    const broken = () => (rules.get(placed(path, index)) ?? []).filter((rule) => watched.has(rule));
    if (want === undefined) test(`accepts ${name}`, () => expect(broken()).toEqual([]));
    else test(`refuses ${name}`, () => expect(broken()).toContain(want));
  }
});
