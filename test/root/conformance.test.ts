// Runs the contract's black-box cases (test/cni/conformance) on our executable, and on the reference plugins where they are installed.
// Controls: conformance-controls.test.ts.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { cnitoolDriver, labDriver } from '../cni/conformance/chain-drivers.ts';
import { isExecutable } from '../cni/conformance/machine.ts';
import { failureLine } from '../cni/conformance/report.ts';
import { type CaseReport, runCases } from '../cni/conformance/run-cases.ts';
import { allCases } from '../cni/conformance/table.ts';
import { needs } from '../support/needs.ts';
import { slowed } from '../support/slowness.ts';

const OURS = fileURLToPath(new URL('../../dist/cni', import.meta.url));
const RUN_LIMIT_MS = slowed(240_000);

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
      // In the machines of the suite kernels, time is short: what a kernel changes for plugins of others is not asked there.
      needs.machine(process.env['WEFT_VIRTUAL_MACHINE'] !== '1', 'a machine whose processors are not emulated');
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
