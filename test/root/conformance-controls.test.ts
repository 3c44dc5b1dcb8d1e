// The controls for the contract's black-box cases (test/cni/conformance): programs that are not plugins must not pass.

import { chmodSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { failureLine } from '../cni/conformance/report.ts';
import { runCases } from '../cni/conformance/run-cases.ts';
import { allCases } from '../cni/conformance/table.ts';
import { slowed } from '../support/slowness.ts';

const RUN_LIMIT_MS = slowed(240_000);

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
