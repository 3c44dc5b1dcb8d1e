// An etcd that no longer answers the agent: the doctor reports it, and stops doing so when etcd is back.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type EtcdOutageStore, etcdStore, OutageScene } from '../cluster/stores/outage-scene.ts';
import { waitUntil } from '../lab/processes.ts';
import { findServer } from '../support/background.ts';
import { doctor, expectHealthy, findingOf } from '../support/doctor.ts';
import { needs } from '../support/needs.ts';

const START_MS = 180_000;
const hasEtcd = findServer('etcd') !== undefined;

let dir = '';
let store: EtcdOutageStore | undefined;
let scene: OutageScene | undefined;
beforeAll(async () => {
  if (!hasEtcd) return;
  dir = mkdtempSync(join(tmpdir(), 'weft-doctor-'));
  store = await etcdStore();
  scene = await OutageScene.start(store, dir);
}, START_MS);
afterAll(async () => {
  await scene?.stop();
  if (dir !== '') rmSync(dir, { recursive: true, force: true });
}, START_MS);
beforeEach(() => needs.machine(hasEtcd, 'etcd'));

test('store-unreachable: etcd is down', { timeout: START_MS }, async () => {
  const [node] = scene?.lab.nodes ?? [];
  const { members } = store?.cluster ?? { members: [] };
  if (node === undefined || members.length === 0) throw new Error('the scene did not start');
  await expectHealthy(node);
  await Promise.all(members.map((member) => member.kill()));
  try {
    const finding = await findingOf(node, 'store-unreachable');
    expect(finding.severity).toBe('warning');
    expect(finding.evidence).toMatch(/^since .*ECONN/);
    // The agent goes on forwarding with what it knows, so this is not an error.
    expect((await doctor(node)).exitCode).toBe(0);
  } finally {
    await Promise.all(members.map((member) => member.start()));
  }
  const isOver = async (): Promise<boolean> =>
    !(await doctor(node)).findings.some(({ id }) => id === 'store-unreachable');
  await waitUntil(isOver, START_MS, 'the end of store-unreachable');
});
