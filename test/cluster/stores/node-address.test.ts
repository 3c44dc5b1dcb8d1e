// With Kubernetes as the store, a node's address changes while its agent runs: because somebody sets annotations, or because the
// underlay changes while the API server is not reachable. Flows in both directions count the lost packets, which are printed.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { StatusReport } from '../../../flanneld/health/status/report.ts';
import { countBothWays } from '../../faults/probe/both-ways.ts';
import type { FlowResult } from '../../faults/probe/spec.ts';
import { SUBNET_FILE } from '../../lab/contract.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { failed } from '../../lab/matrix.ts';
import { waitUntil } from '../../lab/processes.ts';
import { builtAgent } from '../../lab/programs.ts';
import { fdbDestinationsOf, vxlanPlaceOf } from '../../lab/support/vxlan-state.ts';
import { apiserverNeeded, hasKubeApiserver } from '../../support/kube-apiserver.ts';
import { needs } from '../../support/needs.ts';
import { type KubeOutageStore, kubeStore, OutageScene } from './outage-scene.ts';

const START_MS = 180_000;
/** How long to wait for peers to follow. They do so within seconds, but a busy machine needs longer. */
const LOOK_MS = 30_000;
/** Further addresses for node 1, besides 192.168.50.11. */
const [SECOND, THIRD] = ['192.168.50.201', '192.168.50.202'];
const PREFIX = 'flannel.alpha.coreos.com/';

let dir = '';
let store: KubeOutageStore;
let scene: OutageScene | undefined;
let node: LabNode;
let peer: LabNode;

beforeAll(async () => {
  if (!hasKubeApiserver()) return;
  dir = mkdtempSync(join(tmpdir(), 'weft-address-'));
  store = await kubeStore();
  scene = await OutageScene.start(store, dir);
  [node, peer] = [scene.lab.node('node-1'), scene.lab.node('node-2')];
  for (const ip of [SECOND, THIRD]) await node.run(['ip', 'addr', 'add', `${ip}/24`, 'dev', 'eth0']);
}, START_MS);
afterAll(async () => {
  await scene?.stop();
  rmSync(dir, { recursive: true, force: true });
}, START_MS);
beforeEach(() => needs.machine(hasKubeApiserver(), apiserverNeeded));

const path = '/api/v1/nodes/node-1';

/** Sets the node's annotations. A value of null removes one. */
async function annotate(annotations: Readonly<Record<string, string | null>>): Promise<void> {
  const all = Object.fromEntries(Object.entries(annotations).map(([key, value]) => [PREFIX + key, value]));
  const body = { metadata: { annotations: all } };
  await store.server.must({ method: 'PATCH', path, body, contentType: 'application/merge-patch+json' });
}

async function published(): Promise<string | undefined> {
  const { metadata } = (await store.server.must({ path })).body as {
    metadata: { annotations?: Record<string, string> };
  };
  return metadata.annotations?.[`${PREFIX}public-ip`];
}

async function status(): Promise<StatusReport> {
  const argv = [process.execPath, builtAgent, 'status', '--json', `--subnet-file=${SUBNET_FILE}`];
  return JSON.parse((await node.exec(argv)).stdout) as StatusReport;
}

/** Counts packets to and from node 1's pod while `body` runs. */
async function counting(what: string, body: () => Promise<void>): Promise<FlowResult[]> {
  const [one, two] = [node.pods[0], peer.pods[0]];
  if (one === undefined || two === undefined) throw new Error('a pod is missing');
  const { out, back } = await countBothWays(what, [one, two], body, LOOK_MS);
  return [out, back];
}

async function advertised(address: string): Promise<void> {
  const startedMs = performance.now();
  await waitUntil(async () => (await published()) === address, LOOK_MS, `the annotation of ${address}`);
  await waitUntil(async () => (await fdbDestinationsOf(peer)) === address, LOOK_MS, `the peer sending to ${address}`);
  process.stdout.write(`peers send to ${address} after ${Math.round(performance.now() - startedMs)} ms\n`);
  await waitUntil(async () => (await status()).overlays[0]?.publicIp === address, LOOK_MS, `the report of ${address}`);
  await waitUntil(async () => (await node.agent.http('/readyz')).status === 200, LOOK_MS, 'the agent ready again');
}

describe('the address that peers are told', () => {
  test.for([
    { what: 'public-ip-overwrite set', annotations: { 'public-ip-overwrite': SECOND }, address: SECOND },
    { what: 'public-ip-overwrite removed', annotations: { 'public-ip-overwrite': null }, address: '192.168.50.11' },
    { what: 'node-public-ip set', annotations: { 'node-public-ip': SECOND }, address: SECOND },
    { what: 'node-public-ip wrong: what works is kept', annotations: { 'node-public-ip': 'any' }, address: SECOND },
    { what: 'node-public-ip removed', annotations: { 'node-public-ip': null }, address: '192.168.50.11' },
    { what: 'public-ip changed by somebody', annotations: { 'public-ip': SECOND }, address: '192.168.50.11' },
  ])('$what', async ({ what, annotations, address }) => {
    const before = await vxlanPlaceOf(node);
    const flows = await counting(what, async () => {
      await annotate(annotations);
      await advertised(address);
    });
    // The node answers at both addresses and no device is taken down for the change, so hardly any packet is lost.
    for (const { lost, sent } of flows) expect(lost / sent).toBeLessThan(0.01);
    expect(await vxlanPlaceOf(node)).toBe(before);
  });
});

test('is replaced twice while the API server cannot be reached: the node uses the newest, and peers follow once it is back', async () => {
  const proxies = scene?.proxies('node-1') ?? [];
  await node.run(['sysctl', '-qw', 'net.ipv4.conf.eth0.promote_secondaries=1']);
  for (const proxy of proxies) proxy.cut();
  await counting('address replaced twice without the API server', async () => {
    for (const [gone, left] of [
      ['192.168.50.11', SECOND],
      [SECOND, THIRD],
    ] as const) {
      await node.run(['ip', 'addr', 'del', `${gone}/24`, 'dev', 'eth0']);
      await waitUntil(async () => (await vxlanPlaceOf(node)) === `${left} on eth0`, LOOK_MS, `flannel.1 at ${left}`);
    }
    for (const proxy of proxies) proxy.heal();
    await advertised(THIRD);
  });
  expect(failed((await scene?.lab.matrix()) ?? [])).toEqual([]);
  expect((await status()).drift.entries).toEqual([]);
});
