// The image as weft.yml runs it, under a real containerd on two lab nodes: ready, forwarding, restarted, upgraded and
// rolled back under a flow, and removed by cleanup.yml.

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { startFlow } from '../../faults/probe/flow.ts';
import { queueDrops } from '../../faults/probe/queue-drops.ts';
import { markdownTable } from '../../faults/report.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { waitUntil } from '../../lab/processes.ts';
import { inventory } from '../../support/inventory.ts';
import type { CriPod } from '../containerd/pod.ts';
import { type PodSpec, podSpec, readObjects } from '../manifests/documents.ts';
import { withContainer } from './losses.ts';
import { agent, agentPod, OTHER_IMAGE, withOverlay } from './manifest.ts';
import { NodePod } from './node-pod.ts';
import { flowEnd, imageFolder, Site } from './site.ts';

/** capability.h: CAP_NET_ADMIN alone. */
const NET_ADMIN = (1n << 12n).toString(16).padStart(16, '0');
const STEADY = 200;
const FLOW_MS = 30_000;
/** By this time the agent has checked everything once more, whatever woke it up. */
const AFTER_MS = 500;

let site: Site;
let nodes: readonly [LabNode, LabNode];
let agents: [NodePod, NodePod];
let pods: readonly [CriPod, CriPod];
let bare: unknown;

const iptables = withOverlay('iptables');

const start = (node: LabNode, pod: PodSpec = agentPod, configMaps = site.cluster.configMaps): Promise<NodePod> =>
  NodePod.start(site.containerd(node), pod, { ...site.cluster, configMaps });

beforeAll(async () => {
  site = await Site.start(2);
  nodes = [site.node(1), site.node(2)];
  await site.containerd(nodes[0]).importImage(join(imageFolder(), 'other.tar'));
  // Makes nft look for the rules of iptables-legacy, as on a node whose iptables is the legacy one.
  await nodes[1].run(['iptables-legacy', '-N', 'KUBE-KUBELET-CANARY']);
  bare = await inventory(nodes[0]);
  agents = await Promise.all([start(nodes[0]), start(nodes[1])]);
}, 300_000);
afterAll(() => site?.down());

describe('the image under containerd, run as weft.yml says', () => {
  test('becomes ready and makes the node ready', async () => {
    await Promise.all(agents.map((each) => each.ready()));
    for (const node of nodes) {
      const runtime = site.containerd(node);
      await waitUntil(async () => (await runtime.network()).ready, 30_000, `network of ${node.name}`);
    }
  });

  test('has the capability NET_ADMIN and no other, the default seccomp filter, no way to get more rights, and can write only to its mounts', async () => {
    const { pid } = await agents[0].state();
    const status = await nodes[0].run(['cat', `/proc/${pid}/status`]);
    const value = (key: string): string | undefined => new RegExp(`^${key}:\\s*(\\S+)$`, 'm').exec(status)?.[1];
    expect(['CapPrm', 'CapEff', 'CapBnd'].map(value)).toEqual([NET_ADMIN, NET_ADMIN, NET_ADMIN]);
    expect(['NoNewPrivs', 'Seccomp'].map(value)).toEqual(['1', '2']);
    const mounts = (await nodes[0].run(['cat', `/proc/${pid}/mounts`]))
      .trim()
      .split('\n')
      .map((line) => line.split(' '));
    const writable = mounts
      .filter(([, , , options = '']) => options.split(',').includes('rw'))
      .map(([, place]) => place);
    const wanted = (agent.volumeMounts ?? [])
      .filter(({ readOnly }) => readOnly !== true)
      .map(({ mountPath }) => mountPath);
    expect(writable.filter((place = '') => !/^\/(dev|proc|sys\/fs\/cgroup)(\/|$)/.test(place)).sort()).toEqual(
      [...wanted].sort(),
    );
    expect(mounts.find(([, place]) => place === '/proc/sys')?.[3]).toMatch(/^ro,/);
  });

  test('forwards between pods that containerd attaches with the executables it has installed', async () => {
    pods = [await site.addPod(nodes[0], 'one'), await site.addPod(nodes[1], 'two')];
    await pods[0].ping(pods[1].ip);
    expect(await pods[1].fetch(pods[0].ip, 80)).toBe('one');
  });

  test('reports that it cannot see iptables-legacy with these rights', async () => {
    const hidden =
      '[!] iptables-legacy: it is in use on this node, and only a program with the capability NET_RAW can read its chains\n';
    expect((await agents[1].readiness()).text).toContain(hidden);
    expect((await agents[0].readiness()).text).not.toContain('iptables');
  });

  test('writes to iptables on nf_tables where the configuration says iptables, and needs no further right', async () => {
    await agents[1].end();
    agents[1] = await start(nodes[1], agentPod, [iptables.configMap]);
    await agents[1].ready();
    expect(await nodes[1].run(['iptables-nft', '-S', 'FLANNEL-FWD'])).toContain('-s 10.244.0.0/16');
  });

  test('with overlays/iptables sees the iptables-legacy that kubelet uses, and adds accept rules there', async () => {
    await nodes[1].run(['iptables-legacy', '-P', 'FORWARD', 'DROP']);
    await agents[1].end();
    agents[1] = await start(nodes[1], iptables.pod, [iptables.configMap]);
    await agents[1].ready();
    expect(await nodes[1].run(['iptables-legacy', '-S', 'FLANNEL-FWD'])).toContain('-s 10.244.0.0/16');
    expect(await nodes[1].run(['iptables-nft', '-S'])).not.toContain('FLANNEL');
    await pods[0].ping(pods[1].ip);
  });

  test('answers `flanneld status` and `flanneld gc` inside the container', async () => {
    expect(await agents[0].exec('/opt/weft/flanneld', 'status')).toMatchObject({ exitCode: 0 });
    const gc = await agents[0].exec('/opt/weft/flanneld', 'gc', '--dry-run');
    expect(gc.said).toContain(`kept address ${pods[0].ip}`);
    expect(gc.said).toContain('would free nothing, kept 1 address');
  });
});

/** How often a test with losses is repeated, because a busy machine may have caused them. */
const TRIES = 5;

interface Change {
  readonly name: string;
  happen(): Promise<void>;
  /** Goes back to the state before, if the change installed another version. */
  undo?(): Promise<void>;
}

test('the image has a bill of materials', async () => {
  const read = async (...cmd: string[]): Promise<string> => (await agents[0].exec(...cmd)).said;
  const { components } = JSON.parse(await read('cat', '/opt/weft/licences/sbom.cdx.json')) as {
    components: readonly { name: string; version: string; licenses: readonly object[] }[];
  };
  const names = components.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(['node', 'koffi', 'pino', 'quickjs-ng', 'musl']));
  expect(components.filter(({ version, licenses }) => version === 'unknown' || licenses.length === 0)).toEqual([]);
  expect(await read('cat', '/opt/weft/licences/THIRD-PARTY.txt')).toContain('quickjs-ng');
  const packages = (await read('ls', '/var/lib/dpkg/status.d')).split('\n');
  expect(packages).toEqual(expect.arrayContaining(['libc6', 'libstdc++6', 'nftables', 'iptables', 'busybox-static']));
  for (const name of ['libc6', 'nftables']) {
    expect(await read('cat', `/usr/share/doc/${name}/copyright`)).toContain('/usr/share/common-licenses/');
  }
});

describe('under a thousand packets a second nothing is lost', () => {
  const version = async (): Promise<string> => (await agents[0].exec('/opt/weft/flanneld', '--version')).said;
  /** Does what the DaemonSet's controller and kubelet do when the image of the DaemonSet changes. */
  const replace = async (image: string): Promise<void> => {
    await agents[0].end();
    agents[0] = await start(nodes[0], withContainer({ image }));
  };
  const rows: string[][] = [];

  /** Starts flows in both directions between the pods. `drops` counts the packets that the machine itself drops meanwhile. */
  async function underFlows(happen: () => Promise<void>): Promise<{ lost: number; sent: number; drops: number }> {
    const before = queueDrops();
    const [there, back] = [await flowEnd(nodes[0], pods[0]), await flowEnd(nodes[1], pods[1])];
    const flows = await Promise.all([startFlow(there, back), startFlow(back, there)]);
    onTestFinished(async () => void (await Promise.all(flows.map((flow) => flow.abandon()))));
    await happen();
    await agents[0].ready();
    await sleep(AFTER_MS);
    await Promise.all(flows.map((flow) => flow.untilInRow(STEADY, FLOW_MS)));
    const results = await Promise.all(flows.map((flow) => flow.stop()));
    const sum = (key: 'lost' | 'sent'): number => results.reduce((total, result) => total + result[key], 0);
    return { lost: sum('lost'), sent: sum('sent'), drops: queueDrops() - before };
  }

  test.for<Change>([
    {
      name: 'killed, and started again by kubelet',
      async happen() {
        const { pid } = await agents[0].state();
        await nodes[0].run(['kill', '-9', String(pid)]);
        expect(await agents[0].ended()).toBe(128 + 9);
        await agents[0].startContainer(agent);
      },
    },
    { name: 'deleted, and made anew', happen: () => replace(agent.image) },
    { name: 'upgraded', happen: () => replace(OTHER_IMAGE), undo: () => replace(agent.image) },
    { name: 'rolled back', happen: () => replace(agent.image), undo: () => replace(OTHER_IMAGE) },
  ])('when the agent is $name', { timeout: TRIES * 60_000 }, async ({ name, happen, undo }) => {
    for (let tries = 1; ; tries += 1) {
      const before = await version();
      const { lost, sent, drops } = await underFlows(happen);
      expect((await version()) !== before).toBe(undo !== undefined);
      expect(sent).toBeGreaterThan(STEADY);
      rows.push([name, `${lost} of ${sent}`, String(drops)]);
      if (lost === 0 || drops === 0 || tries === TRIES) {
        expect(lost).toBe(0);
        break;
      }
      await undo?.();
      await agents[0].ready();
    }
  });

  afterAll(() => void process.stdout.write(`${markdownTable(['the agent is', 'lost', 'machine’s drops'], rows)}\n`));
});

describe('cleanup.yml', () => {
  const cleanup = podSpec(readObjects('cleanup.yml'));

  test('leaves the node as it was before the installation, with the rights that it asks for', async () => {
    await pods[0].stop();
    await pods[0].remove();
    await agents[0].end();
    const pod = await NodePod.start(site.containerd(nodes[0]), cleanup, site.cluster);
    expect(await pod.ended(), pod.log()).toBe(0);
    expect(pod.log()).toContain('after: nothing\n');
    for (const container of cleanup.containers) await pod.startContainer(container);
    expect(await pod.isRunning()).toBe(true);
    await pod.end();
    expect(await inventory(nodes[0])).toEqual(bare);
  });
});
