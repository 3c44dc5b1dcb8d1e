// Kubernetes' own network tests, the published e2e.test, on kubelets of the lab: the conformance tests, and all others that depend on a pod
// network. flannel runs the same ones on a cluster of its own as a control: a test that fails there as well is not Weft's fault.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { FastPathStatus } from '../../../flanneld/health/status/report.ts';
import { findServer } from '../../support/background.ts';
import { fastPathOf } from '../../support/fast-path.ts';
import { needs } from '../../support/needs.ts';
import { suiteOption } from '../../support/suite-options.ts';
import { missingForFlannel } from '../kubelet/flannel-cluster.ts';
import type { Families } from '../kubelet/ranges.ts';
import { repository } from '../manifests/documents.ts';
import { listSpecs, runSpecs, type Selection, type Spec } from './e2e-program.ts';
import { type Network, startNetwork } from './networks.ts';
import { keepRun } from './result.ts';

const START_MS = 300_000;
const RUN_MS = 3 * 3600_000;

// The excluded tests need a cloud's load balancer or SCTP, or stop programs of nodes.
const skip = ['LoadBalancer', 'SCTP|sctp', '\\[Disruptive\\]'];
const SELECTIONS: Readonly<Record<Families, Selection>> = {
  ipv4: {
    focus: [
      '\\[sig-network\\].*\\[Conformance\\]',
      '\\[sig-network\\].*Granular Checks: (Pods|Services) ',
      '\\[sig-network\\].*(NoSNAT|HostPort|hairpin|session affinity)',
    ],
    skip: [...skip, 'IPv6DualStack'],
  },
  dual: { focus: ['\\[sig-network\\].*IPv6DualStack'], skip },
};
/** A test that needs the tunnel: it must fail when the tunnel's packets are dropped. */
const NEEDS_TUNNEL = /Granular Checks: Pods should function for intra-pod communication: http/;
const only = suiteOption('only');
const hasFastPath = suiteOption('fast-path') !== undefined;
const chosen = hasFastPath ? 'weft' : suiteOption('network');
const networks: readonly Network[] = chosen ? [chosen as Network] : ['weft', 'flannel'];
const families: readonly Families[] = suiteOption('family') ? [suiteOption('family') as Families] : ['ipv4', 'dual'];
const logFolder = join(repository, 'dist/conformance');

const missing = ['e2e.test', 'agnhost', 'coredns', 'kube-proxy'].filter((name) => findServer(name) === undefined);
const needed = [missing.join(', '), missingForFlannel].filter((each) => each !== '').join(', ');

beforeEach(() => needs.machine(needed === '', `${needed} (in KUBEBUILDER_ASSETS, then on PATH)`));

const DROPS_TUNNEL = 'table inet cut { chain input { type filter hook input priority 0; udp dport 8472 drop; }; }\n';

/** The list of tests is read from the program before any cluster is started. */
async function namesFor(family: Families): Promise<string[]> {
  if (needed !== '') return [];
  const names = await listSpecs(SELECTIONS[family]);
  const pattern = new RegExp(only ?? '');
  return names.filter((name) => pattern.test(name));
}

for (const family of families) {
  const names = await namesFor(family);
  describe.each(networks)(`Kubernetes' tests with %s, ${family}`, (network) => {
    const log = join(logFolder, `${network}-${family}`);
    let specs: ReadonlyMap<string, Spec> = new Map();
    let withoutTunnel: readonly Spec[] = [];
    let fastPaths: readonly FastPathStatus[] = [];
    beforeAll(async () => {
      if (names.length === 0) return;
      mkdirSync(logFolder, { recursive: true });
      const site = await startNetwork(network, family, hasFastPath);
      try {
        const all = await runSpecs(site.cluster.server.adminKubeconfig, names, log);
        if (suiteOption('update') !== undefined) keepRun(hasFastPath ? 'weft-fast-path' : network, family, all);
        if (hasFastPath) fastPaths = await Promise.all(site.cluster.lab.nodes.map(fastPathOf));
        specs = new Map(all.map((spec) => [spec.name, spec]));
        const control = names.filter((name) => NEEDS_TUNNEL.test(name));
        if (control.length === 0) return;
        for (const node of site.cluster.lab.nodes) await node.run(['nft', '-f', '-'], { input: DROPS_TUNNEL });
        withoutTunnel = await runSpecs(site.cluster.server.adminKubeconfig, control, `${log}-without-tunnel`);
      } finally {
        await site.stop();
      }
    }, START_MS + RUN_MS);

    test('the program has such tests', () => {
      if (only === undefined) expect(names.length).toBeGreaterThan(family === 'ipv4' ? 40 : 10);
    });

    test.runIf(hasFastPath)('the nodes had the fast path, and packets took it', () => {
      for (const { on, reason, fast, slow } of fastPaths) {
        process.stdout.write(`took the fast path: ${JSON.stringify(fast)}, the classic way: ${JSON.stringify(slow)}\n`);
        expect({ on, reason }).toEqual({ on: true });
      }
      const ways = fastPaths.flatMap(({ fast }) => Object.keys(fast));
      expect(ways).toEqual(expect.arrayContaining(['to-peer', 'from-peer']));
      expect(fastPaths.length).toBeGreaterThan(1);
    });

    test.runIf(names.some((name) => NEEDS_TUNNEL.test(name)))('fail where the tunnel’s packets are dropped', () => {
      expect(withoutTunnel.map(({ state }) => state)).toEqual(['failed']);
    });

    test.each(names)('%s', (name) => {
      const spec = specs.get(name);
      expect(spec?.state, `${spec?.message ?? 'it did not run'} (${log}-*.log)`).toBe('passed');
    });
  });
}
