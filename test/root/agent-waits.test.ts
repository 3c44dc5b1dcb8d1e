// What the agent reports while it waits for the cluster state or works without it: /readyz?verbose and `status` have the same text as the
// log, and `status` exits with 1 only while the node is not ready.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../lab/processes.ts';
import { fail } from '../support/fake-kube.ts';
import { FakeKubeSite } from '../support/fake-kube-site.ts';

/** How long to wait. The agent retries within three seconds, but a busy machine needs longer. */
const LOOK_MS = 30_000;

let site: FakeKubeSite;

beforeAll(async () => {
  site = await FakeKubeSite.make();
  await site.node.agent.start();
});
afterAll(() => site?.down());

/** Waits until both report this step and reason, and expects that the node is not ready and the log has the same text. */
async function waitsFor(step: string, reason: RegExp): Promise<void> {
  const line = new RegExp(`start: waiting for ${step}: .*${reason.source}`);
  const body = (): Promise<string> =>
    site.node.agent.http('/readyz?verbose').then(
      (answer) => answer.body,
      () => '', // it does not listen yet
    );
  await waitUntil(async () => line.test(await body()), LOOK_MS, String(line));
  expect((await site.node.agent.http('/readyz')).status).toBe(503);
  const { exitCode, text } = await site.status();
  expect([exitCode, text]).toEqual([1, expect.stringMatching(line)]);
  const logged = site.node.agent.log().replaceAll('\\"', '"');
  expect(logged).toMatch(reason);
}

const ownNode = 'what the cluster state says of this node';

describe('an agent that starts', () => {
  test('says that nobody listens at the API server’s address', async () => {
    await waitsFor(ownNode, /kube: get node node-1: ECONNREFUSED \(dial tcp .*connection refused/);
  });

  test('says that it is forbidden to read its Node', async () => {
    site.server.intercept = ({ url: { pathname } }, response) => {
      if (pathname !== '/api/v1/nodes/node-1') return false;
      fail(response, 403, 'Forbidden', 'nodes "node-1" is forbidden: User "weft" cannot get resource "nodes"');
      return true;
    };
    await site.connect();
    await waitsFor(ownNode, /kube: get node node-1: 403 Forbidden \(nodes "node-1" is forbidden/);
  });

  test('says that there is no Node of its name, and which name that is', async () => {
    site.server.intercept = () => false;
    await waitsFor(ownNode, /get node node-1: 404 NotFound .*\(NODE_NAME must be the name of this Node\)/);
  });

  test('says that its Node has no podCIDR', async () => {
    site.server.addNode('node-1', []);
    await waitsFor('the lease of this node', /node "node-1" pod cidr not assigned: waiting for it/);
  });

  test('is ready once it has one, and no longer mentions it', async () => {
    site.server.change('node-1', ({ spec }) =>
      Object.assign(spec, { podCIDR: '10.244.1.0/24', podCIDRs: ['10.244.1.0/24'] }),
    );
    await site.node.agent.ready();
    const { exitCode, report } = await site.status();
    expect(exitCode).toBe(0);
    expect(report.checks.map(({ name }) => name)).not.toContain('start');
    expect(report.checks.map(({ name }) => name)).not.toContain('cluster state');
  });
});

describe('an agent whose store no longer answers', () => {
  const check = async () => (await site.status()).report.checks.find(({ name }) => name === 'cluster state');

  test('says so and since when, and the node stays ready', async () => {
    const before = Date.now();
    await site.disconnect();
    await waitUntil(async () => (await check()) !== undefined, LOOK_MS, 'the check');
    const { exitCode, text } = await site.status();
    expect(exitCode).toBe(0);
    expect(text).toMatch(
      /! cluster state: since \S+Z: nodes cannot be watched, the last known leases stay in use: kube: watch nodes: /,
    );
    const since = Date.parse(/since (\S+Z)/.exec((await check())?.problem ?? '')?.[1] ?? '');
    expect(since).toBeGreaterThanOrEqual(before - 1000);
    await waitUntil(async () => (await check()) !== undefined, LOOK_MS, 'the check');
    expect(Date.parse(/since (\S+Z)/.exec((await check())?.problem ?? '')?.[1] ?? '')).toBe(since);
    expect((await site.node.agent.http('/readyz')).status).toBe(200);
  });

  test('starts with the leases it has saved, and says since when', async () => {
    await site.node.agent.stop();
    await site.node.agent.start();
    await site.node.agent.ready();
    const { exitCode, text } = await site.status();
    expect(exitCode).toBe(0);
    expect(text).toMatch(
      /! cluster state: since \S+Z: .*cluster state does not answer, its last answer is used: lease/,
    );
    expect(text).toMatch(/since \S+Z: leases cannot be read, the last known ones are used/);
  });

  test('no longer mentions it once the store answers', async () => {
    await site.connect();
    await waitUntil(async () => (await check()) === undefined, LOOK_MS, 'no check');
    expect((await site.status()).exitCode).toBe(0);
  });
});
