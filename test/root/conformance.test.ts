// Runs the contract's black-box cases (test/cni/conformance) on our executable, on the reference plugins where they are installed, and on
// programs that are no plugins, which must not pass.

import { chmodSync, copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { cnitoolDriver, labDriver } from '../cni/conformance/chain-drivers.ts';
import { isExecutable } from '../cni/conformance/machine.ts';
import { failureLine } from '../cni/conformance/report.ts';
import { type CaseReport, runCases } from '../cni/conformance/run-cases.ts';
import { allCases } from '../cni/conformance/table.ts';
import { needs } from '../support/needs.ts';

const OURS = fileURLToPath(new URL('../../dist/cni', import.meta.url));
const RUN_LIMIT_MS = 240_000;

describe('our executable', () => {
  const reports = new Map<string, CaseReport>();

  beforeAll(async () => {
    if (!isExecutable(join(OURS, 'flannel'))) return;
    for (const report of await runCases(allCases, { executables: OURS, held: 'ours', driver: labDriver })) {
      reports.set(report.id, report);
    }
  }, RUN_LIMIT_MS);

  test.for(allCases.map(({ id, title }) => ({ id, title })))('$id $title', ({ id }) => {
    needs.setUp(isExecutable(join(OURS, 'flannel')), 'dist/cni/flannel');
    const report = reports.get(id);
    expect(report, 'the case was not run').toBeDefined();
    needs.machine(report?.outcome !== 'skipped', report?.reason?.replace('the machine lacks ', '') ?? '');
    expect(report?.reason).toBeUndefined();
  });
});

describe('reference plugins', () => {
  const folders = ['/usr/lib/cni', process.env['CNI_REFERENCE_BIN'] ?? ''].filter((folder) => folder !== '');

  test.for(folders)(
    'the plugins in %s behave as the cases say about the reference',
    { timeout: RUN_LIMIT_MS },
    async (folder) => {
      needs.machine(
        existsSync(join(folder, 'bridge')),
        `the reference plugins (containernetworking-plugins) in ${folder}`,
      );
      const tool = join(folder, 'cnitool');
      const driver = isExecutable(tool) ? cnitoolDriver(tool) : undefined;
      const reports = await runCases(allCases, { executables: folder, held: 'reference', driver });
      expect(reports.filter(({ outcome }) => outcome === 'failed').map(failureLine)).toEqual([]);
      expect(reports.filter(({ outcome }) => outcome === 'passed').length).toBeGreaterThan(150);
    },
  );
});

describe('programs that are no plugins', () => {
  const controls = {
    'says nothing and succeeds': '#!/bin/sh\ncat > /dev/null\n',
    'prints {} and succeeds': '#!/bin/sh\ncat > /dev/null\necho "{}"\n',
  };

  /** Runs all cases of the three main plugins on one program that is installed under their names. */
  async function passing(install: (path: string) => void): Promise<string[]> {
    const dir = mkdtempSync(join(tmpdir(), 'no-plugin-'));
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
    for (const name of ['flannel', 'bridge', 'host-local']) install(join(dir, name));
    const reports = await runCases(allCases, { executables: dir, held: 'ours' });
    expect(reports.length).toBeGreaterThan(250);
    return reports.filter(({ outcome }) => outcome === 'passed').map(failureLine);
  }

  test.for(Object.entries(controls))(
    'a program that %s passes no case',
    { timeout: RUN_LIMIT_MS },
    async ([, script]) => {
      const passed = await passing((path) => {
        writeFileSync(path, script);
        chmodSync(path, 0o755);
      });
      expect(passed).toEqual([]);
    },
  );

  test('/bin/true passes no case', { timeout: RUN_LIMIT_MS }, async () => {
    const passed = await passing((path) => copyFileSync('/bin/true', path));
    expect(passed).toEqual([]);
  });
});
