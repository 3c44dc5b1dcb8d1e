// Kubernetes' own network tests, the published e2e.test, on kubelets of the lab: its conformance, and the rest that a pod network decides.
// Flannel runs the same ones on a cluster of its own. That is the control: what fails there as well is not Weft's.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { findServer } from '../../support/background.ts';
import { needs } from '../../support/needs.ts';
import { suiteOption } from '../../support/suite-options.ts';
import { missingForFlannel } from '../kubelet/flannel-cluster.ts';
import { repository } from '../manifests/documents.ts';
import { isConformance, listSpecs, runSpecs, type Selection, type Spec } from './e2e-program.ts';
import { type Network, startNetwork } from './networks.ts';
import { keepResult } from './result.ts';

const START_MS = 300_000;
const RUN_MS = 3 * 3600_000;

const everything: Selection = {
  focus: [
    '\\[sig-network\\].*\\[Conformance\\]',
    '\\[sig-network\\].*Granular Checks: (Pods|Services) ',
    '\\[sig-network\\].*(NoSNAT|HostPort|hairpin|session affinity)',
  ],
  // What is left out needs a cloud's load balancer, a second address family or SCTP, or restarts nodes' programs.
  skip: ['LoadBalancer', 'SCTP|sctp', 'IPv6DualStack', 'Secondary IP Family', '\\[Disruptive\\]'],
};
const only = suiteOption('only');
const selection = only === undefined ? everything : { focus: [only], skip: [] };
const chosen = suiteOption('network');
const networks: readonly Network[] = chosen === undefined ? ['weft', 'flannel'] : [chosen as Network];

const missing = [...['e2e.test', 'agnhost', 'coredns', 'kube-proxy'].filter((name) => findServer(name) === undefined)];
const needed = [missing.join(', '), missingForFlannel].filter((each) => each !== '').join(', ');
const names = needed === '' ? await listSpecs(selection) : [];
const logFolder = join(repository, 'dist/conformance');

beforeEach(() => needs.machine(needed === '', `${needed} (in KUBEBUILDER_ASSETS, then on PATH)`));

test('e2e.test has the tests that are asked for', () => {
  expect(names.length).toBeGreaterThan(0);
  if (only === undefined) expect(names.filter(isConformance).length).toBeGreaterThan(40);
});

const results = new Map<Network, readonly Spec[]>();
afterAll(() => {
  if (suiteOption('update') !== undefined) keepResult(results);
});

describe.each(networks)("Kubernetes' tests with %s", (network) => {
  let specs: ReadonlyMap<string, Spec> = new Map();
  beforeAll(async () => {
    if (needed !== '') return;
    mkdirSync(logFolder, { recursive: true });
    const site = await startNetwork(network);
    try {
      const all = await runSpecs(site.cluster.server.adminKubeconfig, selection, join(logFolder, `${network}.log`));
      results.set(network, all);
      specs = new Map(all.map((spec) => [spec.name, spec]));
    } finally {
      await site.stop();
    }
  }, START_MS + RUN_MS);

  test.each(names)('%s', (name) => {
    const spec = specs.get(name);
    expect(spec?.state, `${spec?.message ?? 'it did not run'} (${join(logFolder, `${network}.log`)})`).toBe('passed');
  });
});
