// GitHub's workflows: the files that they run exist, no job has a right that it does not need, and actionlint, where it is found, reports
// nothing.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { COMMANDS } from '../../../scripts/commands.mjs';
import { SUITES } from '../../../scripts/suites.mjs';
import { needs } from '../../support/needs.ts';
import { repository } from './documents.ts';
import { findProgram } from './find-program.ts';

interface Job {
  readonly permissions?: Readonly<Record<string, string>>;
  readonly 'timeout-minutes'?: number;
  readonly steps: readonly { readonly id?: string; readonly run?: string }[];
}

interface Workflow {
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}

const folder = join(repository, '.github/workflows');
const names = readdirSync(folder);
const textOf = (name: string): string => readFileSync(join(folder, name), 'utf8');
const workflowOf = (name: string): Workflow => parse(textOf(name)) as Workflow;

describe.for(names)('%s', (name) => {
  test('may only read, but in jobs that say otherwise, and ends by itself', () => {
    const { permissions, jobs } = workflowOf(name);
    expect(permissions).toEqual({ contents: 'read' });
    for (const job of Object.values(jobs)) expect(job['timeout-minutes']).toBeGreaterThan(0);
    const writers = Object.values(jobs).filter((job) => job.permissions !== undefined);
    expect(writers.length).toBe(name === 'release.yml' ? 1 : 0);
  });

  test('runs npm scripts that exist', () => {
    for (const [, script = ''] of textOf(name).matchAll(/npm run ([a-z:]+)/g)) {
      expect(Object.keys(COMMANDS)).toContain(script);
    }
  });

  test('has nothing that actionlint finds', () => {
    const actionlint = findProgram('actionlint');
    needs.machine(actionlint !== undefined, 'actionlint (on PATH)');
    const { status, stdout } = spawnSync(actionlint ?? '', [join(folder, name)], { encoding: 'utf8' });
    expect(stdout).toBe('');
    expect(status).toBe(0);
  });
});

test('every suite runs every night, by the command of the workflow itself', () => {
  const step = workflowOf('nightly.yml').jobs['list']?.steps.find(({ id }) => id === 'list');
  const folder = mkdtempSync(join(tmpdir(), 'weft-workflow-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'output');
  execFileSync('sh', ['-ec', step?.run ?? 'false'], { cwd: repository, env: { ...process.env, GITHUB_OUTPUT: file } });
  expect(JSON.parse(readFileSync(file, 'utf8').replace(/^suites=/, ''))).toEqual(Object.keys(SUITES));
});
