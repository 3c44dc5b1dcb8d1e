// Bad networks between nodes, made with netem(8): agents become stable, their probes report what is wrong, and readiness does not flap.

import { execFileSync, spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { makeEtcdSite } from '../cluster/stores/etcd-site.ts';
import { SUBNET_FILE, UNDERLAY_DEVICE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { HEALTH_FLAGS, LAUNCHER, writeLauncher } from '../lab/support/launcher-script.ts';
import { dropLease, writeLease } from '../lab/support/leases.ts';
import { allPodsReach } from '../lab/support/status.ts';
import { becomesHealthy, findingsIn, finds } from '../probes/probed-lab.ts';
import { startEtcd } from '../support/etcd.ts';
import { needs } from '../support/needs.ts';
import { startRelay } from '../support/netns-relay.ts';
import { slowed } from '../support/slowness.ts';
import { nodeAttributes } from '../support/store-contract.ts';

const LOOK_MS = 30_000;
/** How long a bad network is observed: some rounds of probes. */
const WATCH_MS = 15_000;
const ASK_MS = 500;
const FLAPS = 6;

const hasNetem =
  spawnSync('unshare', ['--net', 'tc', 'qdisc', 'add', 'dev', 'lo', 'root', 'netem', 'delay', '1ms']).status === 0;
beforeEach(() => needs.machine(hasNetem, 'netem in the kernel'));

async function shape(node: LabNode, how: string, device = UNDERLAY_DEVICE): Promise<void> {
  await node.run(['tc', 'qdisc', 'replace', 'dev', device, 'root', 'netem', ...how.split(' ')]);
}

async function unshape(node: LabNode): Promise<void> {
  await node.exec(['tc', 'qdisc', 'del', 'dev', UNDERLAY_DEVICE, 'root']);
}

const ask = async (node: LabNode): Promise<{ status: number; body: string }> =>
  await node.agent.http('/readyz?verbose');
const noAnswer = (error: Error): { status: number; body: string } => ({ status: 0, body: error.message });

/** Asks continuously whether the node is ready. The returned function stops this and returns every answer except "yes". */
function watchReadiness(nodes: readonly LabNode[]): () => Promise<string[]> {
  const others: string[] = [];
  let isOver = false;
  const watch = async (node: LabNode): Promise<void> => {
    while (!isOver) {
      // `fetch` gives a connection ten seconds, which a busy emulated processor may not keep. That says nothing, so it is asked again.
      const { status, body } = await ask(node).catch(() => ask(node).catch(noAnswer));
      if (status !== 200) others.push(`${node.name}: ${body}`);
      await sleep(ASK_MS);
    }
  };
  const watches = Promise.all(nodes.map(watch));
  return async () => {
    isOver = true;
    await watches;
    return others;
  };
}

describe('between three nodes', () => {
  let lab: Lab;
  let one: LabNode;
  let stop: () => Promise<string[]>;
  beforeAll(async () => {
    if (!hasNetem) return;
    lab = await startLab({ nodes: 3 });
    one = lab.node('node-1');
    for (const node of lab.nodes) await node.addPod();
    await becomesHealthy(lab.nodes, 2);
  });
  afterAll(() => lab?.down());
  beforeEach(() => {
    stop = watchReadiness(lab?.nodes ?? []);
  });
  afterEach(async () => {
    await stop();
    for (const node of lab?.nodes ?? []) await unshape(node);
  });

  /** A new peer is programmed, and a removed one is deleted. */
  async function peersAreFollowed(): Promise<void> {
    const subnet = '10.244.200.0/24';
    const isThere = async (): Promise<boolean> =>
      (await one.run(['ip', 'route', 'show', 'dev', 'flannel.1'])).includes(subnet);
    writeLease(lab, 'peer', { subnet, publicIp: '192.168.50.99', mac: '02:00:00:00:0a:01' });
    await waitUntil(isThere, LOOK_MS, 'the new peer');
    dropLease(lab, 'peer');
    await waitUntil(async () => !(await isThere()), LOOK_MS, 'its end');
  }

  /** Runs a program in the network between the nodes. */
  function inNetwork(...words: readonly string[]): void {
    execFileSync('nsenter', [`--net=/proc/${lab.pid}/ns/net`, ...words]);
  }

  /** Findings worse than `info`. */
  async function problems(): Promise<string[]> {
    const found = await findingsIn(lab);
    return found
      .filter(({ severity }) => severity === 'error')
      .map(({ node, id, peer }) => `${node}: ${id} of ${peer}`);
  }

  test('200 ms more each way: peers are slow and reachable, and that is over when it is over', async () => {
    for (const node of lab.nodes) await shape(node, 'delay 200ms');
    await finds(one, 'peer-slow', 'node-2');
    await peersAreFollowed();
    await allPodsReach(lab);
    expect(await problems()).toEqual([]);
    expect(await stop()).toEqual([]);
    for (const node of lab.nodes) await unshape(node);
    await becomesHealthy(lab.nodes, 2);
  });

  test.for([
    { name: '2 % loss', how: 'loss 2%' },
    { name: 'reordering', how: 'delay 20ms reorder 25% 50%' },
    { name: 'duplicates', how: 'duplicate 20%' },
    { name: 'all of it', how: 'delay 50ms 20ms loss 2% duplicate 5%' },
  ])('$name: no error is named, and readiness stays', async ({ how }) => {
    for (const node of lab.nodes) await shape(node, how);
    await peersAreFollowed();
    await sleep(WATCH_MS);
    await allPodsReach(lab);
    expect(await problems()).toEqual([]);
    expect(await stop()).toEqual([]);
  });

  test('control: 100 % loss is named', async () => {
    await shape(one, 'loss 100%');
    await waitUntil(async () => (await problems()).length > 0, 4 * LOOK_MS, 'a problem');
    expect(await stop()).toEqual([]);
    await unshape(one);
    await becomesHealthy(lab.nodes, 2);
  });

  test('a link that flaps somewhere in the network: all is right when it rests, and readiness stays', async () => {
    for (let times = 0; times < FLAPS; times++) {
      for (const state of ['down', 'up']) {
        inNetwork('ip', 'link', 'set', `ul-${one.index}`, state);
        await sleep(ASK_MS);
      }
    }
    await allPodsReach(lab);
    await peersAreFollowed();
    expect(await stop()).toEqual([]);
    await becomesHealthy(lab.nodes, 2);
  });

  test('the node’s own link that flaps: it is not ready only while the link is down, and says so', async () => {
    for (let times = 0; times < FLAPS; times++) {
      for (const state of ['down', 'up']) {
        await one.run(['ip', 'link', 'set', UNDERLAY_DEVICE, state]);
        await sleep(ASK_MS);
      }
    }
    await waitUntil(async () => (await one.agent.http('/readyz')).status === 200, LOOK_MS, 'readiness');
    await allPodsReach(lab);
    await peersAreFollowed();
    const reasons = (await stop()).flatMap((text) => text.split('\n').filter((line) => /\[-\]/.test(line)));
    expect(reasons.filter((line) => !line.includes(`external interface: ${UNDERLAY_DEVICE} is down`))).toEqual([]);
    await becomesHealthy(lab.nodes, 2);
  });
});

test('a store behind 500 ms: the node becomes ready, follows peers, and stays ready', async () => {
  const etcd = await startEtcd({ members: 1 });
  onTestFinished(() => etcd.stop());
  const [url] = etcd.endpoints;
  if (url === undefined) throw new Error('etcd has no endpoint');
  const site = await makeEtcdSite(etcd, { Network: '10.244.0.0/16', Backend: { Type: 'vxlan' } });
  const lab = await startLab({ nodes: 1, agent: { start: false, file: LAUNCHER, readyTimeoutMs: 60_000 } });
  onTestFinished(() => lab.down());
  const node = lab.node('node-1');
  const relay = await startRelay(node.pid, url);
  onTestFinished(relay);
  // Packets to the store pass the node's loopback, in both directions.
  await shape(node, 'delay 250ms', 'lo');
  const flags = [`--etcd-endpoints=${url.origin}`, `--etcd-prefix=${site.prefix}`, `--iface=${UNDERLAY_DEVICE}`];
  writeLauncher(node, [builtAgent, ...flags, `--subnet-file=${SUBNET_FILE}`, ...HEALTH_FLAGS]);
  await node.agent.start();
  await node.agent.ready();
  const stop = watchReadiness([node]);
  await site.putPeer('p', '10.244.200.0/24', nodeAttributes(77));
  const isThere = async (): Promise<boolean> =>
    (await node.run(['ip', 'route', 'show', 'dev', 'flannel.1'])).includes('10.244.200.0/24');
  await waitUntil(isThere, LOOK_MS, 'the peer');
  await sleep(slowed(1000));
  expect(await stop()).toEqual([]);
});
