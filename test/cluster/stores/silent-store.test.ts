// A store becomes silent without closing a connection. Either packets from it are dropped on their way, or its connections stay open and
// nothing is answered, as when the server hangs or a load balancer has lost it. The agent must report within half a minute that the store
// does not answer and since when, and must stop doing so when it is back. The control is the same store while it answers.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { LabNode } from '../../lab/lab-node.ts';
import { waitUntil } from '../../lab/processes.ts';
import { statusReport } from '../../lab/support/status.ts';
import { findServer } from '../../support/background.ts';
import { doctor } from '../../support/doctor.ts';
import { apiserverNeeded, hasKubeApiserver } from '../../support/kube-apiserver.ts';
import { needs } from '../../support/needs.ts';
import { etcdStore, kubeStore, OutageScene, type OutageStore } from './outage-scene.ts';

const START_MS = 180_000;
const NOTICED_MS = 30_000;

interface Silence {
  readonly name: string;
  begin(scene: OutageScene, node: LabNode): Promise<void> | void;
  end(scene: OutageScene, node: LabNode): Promise<void> | void;
}

const silences: readonly Silence[] = [
  {
    name: 'every packet from it is dropped',
    async begin(scene, node) {
      const ports = scene.proxies(node.name).map(({ url }) => url.port);
      const drop = `iif "lo" tcp sport { ${ports.join()} } drop`;
      const chain = `add chain inet silence in { type filter hook input priority -300; }`;
      const script = `add table inet silence\n${chain}\nadd rule inet silence in ${drop}\n`;
      await node.run(['nft', '-f', '-'], { input: script });
    },
    async end(_, node) {
      await node.run(['nft', 'delete', 'table', 'inet', 'silence']);
    },
  },
  {
    name: 'its connections stay open and nothing is answered',
    begin(scene, node) {
      for (const proxy of scene.proxies(node.name)) proxy.cut();
    },
    end(scene, node) {
      for (const proxy of scene.proxies(node.name)) proxy.heal();
    },
  },
];

interface Said {
  readonly status: string;
  readonly readyz: string;
}

/** What the agent reports about its store; empty texts when it reports nothing. */
async function saidOfStore(node: LabNode): Promise<Said> {
  const { findings = [] } = await statusReport(node);
  const status = findings.filter(({ id }) => id === 'store-unreachable').map(({ evidence }) => evidence);
  const { body } = await node.agent.http('/readyz?verbose');
  return { status: status.join('\n'), readyz: /^.*cluster state.*$/m.exec(body)?.[0] ?? '' };
}

function suite(store: string, openStore: () => Promise<OutageStore>, missing: string | undefined): void {
  describe(`${store} falls silent:`, () => {
    let dir = '';
    let scene: OutageScene | undefined;
    beforeAll(async () => {
      if (missing !== undefined) return;
      dir = mkdtempSync(join(tmpdir(), 'weft-silent-'));
      scene = await OutageScene.start(await openStore(), dir);
    }, START_MS);
    afterAll(async () => {
      await scene?.stop();
      if (dir !== '') rmSync(dir, { recursive: true, force: true });
    }, START_MS);
    beforeEach(() => needs.machine(missing === undefined, missing ?? ''));

    test.for(silences)('$name', { timeout: START_MS }, async ({ begin, end }) => {
      const [node] = scene?.lab.nodes ?? [];
      if (node === undefined || scene === undefined) throw new Error('the scene did not start');
      expect(await saidOfStore(node)).toEqual({ status: '', readyz: '' });
      const begunAt = Date.now();
      await begin(scene, node);
      try {
        await expectNamed(node, begunAt);
      } finally {
        await end(scene, node);
      }
      const isOver = async (): Promise<boolean> => (await saidOfStore(node)).status === '';
      await waitUntil(isOver, NOTICED_MS, 'the end of store-unreachable');
    });
  });
}

async function expectNamed(node: LabNode, begunAt: number): Promise<void> {
  let said: Said = { status: '', readyz: '' };
  const isNoticed = async (): Promise<boolean> => {
    said = await saidOfStore(node);
    return said.status !== '' && said.readyz !== '';
  };
  await waitUntil(isNoticed, NOTICED_MS, 'the agent to name the silent store');
  const since = Date.parse(/^since (\S+Z): /.exec(said.status)?.[1] ?? '');
  expect(since).toBeGreaterThanOrEqual(begunAt);
  expect(since).toBeLessThanOrEqual(Date.now());
  expect(said.readyz).toContain(said.status);
  const { findings, exitCode } = await doctor(node);
  expect(findings.filter(({ id }) => id === 'store-unreachable')).toHaveLength(1);
  // The node goes on forwarding with what it knows, so this is not an error.
  expect(exitCode).toBe(0);
}

suite('etcd', etcdStore, findServer('etcd') === undefined ? 'etcd' : undefined);
suite('a kube-apiserver', kubeStore, hasKubeApiserver() ? undefined : apiserverNeeded);
