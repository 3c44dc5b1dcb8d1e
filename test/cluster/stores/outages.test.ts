// The store becomes unavailable in every possible way, under a flow of 1000 packets a second. No packet may be lost, no agent may
// restart, and within five seconds after the store is back the kernel must have its state. The losses are printed.
// `WEFT_OUTAGE_SEC=600` makes the long outages ten minutes. The agent's pauses between retries are longest after ten seconds.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { startFlow } from '../../faults/probe/flow.ts';
import type { LabPod } from '../../lab/lab-pod.ts';
import { subnetOf } from '../../lab/mesh.ts';
import { waitUntil } from '../../lab/processes.ts';
import { apiserverNeeded, hasKubeApiserver } from '../../support/kube-apiserver.ts';
import { needs } from '../../support/needs.ts';
import { never } from '../../support/store-contract.ts';
import { askEtcd, keyOf, leaderOf } from './etcd-site.ts';
import {
  type EtcdOutageStore,
  etcdStore,
  type KubeOutageStore,
  kubeStore,
  OutageScene,
  type OutageStore,
} from './outage-scene.ts';

const START_MS = 180_000;
const LONG_MS = Number(process.env['WEFT_OUTAGE_SEC'] ?? 15) * 1000;
/** Longer than the time after which the agent's requests give up. */
const SILENCE_MS = 6000;
const RECOVERY_MS = 5000;

interface Outage<S extends OutageStore> {
  readonly name: string;
  /** Makes the store unavailable and brings it back, with the third node at `host`. */
  happen(store: S, scene: OutageScene, host: number): Promise<void>;
}

function suite<S extends OutageStore>(
  openStore: () => Promise<S>,
  missing: string | undefined,
  outages: readonly Outage<S>[],
): void {
  let dir = '';
  let started: { store: S; scene: OutageScene } | undefined;
  beforeAll(async () => {
    if (missing !== undefined) return;
    dir = mkdtempSync(join(tmpdir(), 'weft-outage-'));
    const store = await openStore();
    const scene = await OutageScene.start(store, dir);
    started = { store, scene };
    await store.moveGhost(10);
    await waitUntil(() => scene.isFollowed(10), RECOVERY_MS, 'the third node');
  }, START_MS);
  afterAll(async () => {
    await started?.scene.stop();
    rmSync(dir, { recursive: true, force: true });
  }, START_MS);
  beforeEach(() => needs.machine(missing === undefined, missing ?? ''));

  test.for(outages)('$name', { timeout: LONG_MS + START_MS }, async ({ name, happen }) => {
    if (started === undefined) throw new Error('the scene did not start');
    const { store, scene } = started;
    const [one, two] = scene.lab.pods as [LabPod, LabPod];
    const agents = await scene.agents();
    const subnets = scene.lab.nodes.map(subnetOf);
    const flow = await startFlow(one, two);
    onTestFinished(() => flow.abandon());
    const host = scene.nextHost();
    await happen(store, scene, host);
    const backAt = performance.now();
    await waitUntil(() => scene.isFollowed(host), RECOVERY_MS, 'the state of the store');
    const recoveredMs = Math.round(performance.now() - backAt);
    const { sent, lost } = await flow.stop();
    process.stdout.write(`${name}: ${lost} of ${sent} packets lost, right again ${recoveredMs} ms after it was back\n`);
    expect(lost).toBe(0);
    expect(await scene.agents()).toEqual(agents);
    expect(scene.lab.nodes.map(subnetOf)).toEqual(subnets);
  });
}

const kubeOutages: readonly Outage<KubeOutageStore>[] = [
  {
    name: `the API server is dead for ${LONG_MS / 1000} s`,
    async happen({ server, moveGhost }, _, host) {
      await server.kill();
      await sleep(LONG_MS);
      await server.start();
      await moveGhost(host);
    },
  },
  {
    name: 'every connection to the API server is cut',
    async happen({ moveGhost }, scene, host) {
      for (const proxy of scene.proxies()) proxy.reset();
      await moveGhost(host);
    },
  },
  {
    name: 'one node hears nothing of the API server',
    async happen({ moveGhost }, scene, host) {
      for (const proxy of scene.proxies('node-1')) proxy.cut();
      await moveGhost(host);
      await sleep(SILENCE_MS);
      for (const proxy of scene.proxies('node-1')) proxy.heal();
    },
  },
  {
    name: 'the API server forgets its history while a node hears nothing',
    async happen({ server, moveGhost }, scene, host) {
      for (const proxy of scene.proxies('node-1')) proxy.cut();
      await moveGhost(host);
      await server.kill();
      await server.start();
      for (const proxy of scene.proxies('node-1')) proxy.heal();
    },
  },
];

const etcdOutages: readonly Outage<EtcdOutageStore>[] = [
  {
    name: 'etcd’s leader is killed',
    async happen({ cluster, moveGhost }, _, host) {
      const leader = await leaderOf(cluster);
      await leader.kill();
      onTestFinished(() => leader.start());
      await expect.poll(() => moveGhost(host).then(() => 'moved', String), { timeout: 20_000 }).toBe('moved');
    },
  },
  {
    name: `two of three members are dead for ${LONG_MS / 1000} s`,
    async happen({ cluster, moveGhost }, _, host) {
      const [, second, third] = cluster.members;
      await Promise.all([second?.kill(), third?.kill()]);
      await sleep(LONG_MS);
      await Promise.all([second?.start(), third?.start()]);
      await moveGhost(host);
    },
  },
  {
    name: `etcd is dead for ${LONG_MS / 1000} s`,
    async happen({ cluster, moveGhost }, _, host) {
      await Promise.all(cluster.members.map((member) => member.kill()));
      await sleep(LONG_MS);
      await Promise.all(cluster.members.map((member) => member.start()));
      await moveGhost(host);
    },
  },
  {
    name: 'one node hears nothing of etcd',
    async happen({ moveGhost }, scene, host) {
      for (const proxy of scene.proxies('node-1')) proxy.cut();
      await moveGhost(host);
      await sleep(SILENCE_MS);
      for (const proxy of scene.proxies('node-1')) proxy.heal();
    },
  },
  {
    name: 'etcd is compacted while a node hears nothing',
    async happen({ cluster, site, moveGhost }, scene, host) {
      for (const proxy of scene.proxies('node-1')) proxy.cut();
      await moveGhost(host);
      const { revision } = await site.gateway.list(`${site.prefix}/`, never);
      await askEtcd(cluster, 'kv/compaction', { revision: String(revision), physical: true });
      for (const proxy of scene.proxies('node-1')) proxy.heal();
    },
  },
  {
    name: 'a node’s etcd lease is revoked: the same key comes back',
    async happen({ site, moveGhost }, scene, host) {
      const [node] = scene.lab.nodes;
      const key = keyOf((node && subnetOf(node)) ?? '');
      const before = (await site.stored()).get(key);
      await site.gateway.revokeLease(before?.leaseId ?? '', never);
      expect((await site.stored()).get(key)?.leaseId).not.toBe(before?.leaseId);
      await expect
        .poll(async () => (await site.stored()).get(key)?.value, { timeout: RECOVERY_MS })
        .toBe(before?.value);
      await moveGhost(host);
    },
  },
];

describe('a real kube-apiserver', () =>
  suite(kubeStore, hasKubeApiserver() ? undefined : apiserverNeeded, kubeOutages));
describe('three members of etcd', () => suite(etcdStore, undefined, etcdOutages));
