// Services of a real kube-proxy on nodes with the fast path: cluster addresses, node ports and session affinity, by TCP and UDP, with the
// pod behind the Service here, on another node, or the client itself. All of them answer as on the classic way, also while the fast path is
// switched on and off.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { missingPrograms, ServiceScene, writeService } from '../cluster/api-server/service-scene.ts';
import { askArgv, type Server, startServer } from '../cni/conformance/traffic.ts';
import { runCommand } from '../lab/command.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { waitUntil } from '../lab/processes.ts';
import { addTable, fastPathOf, untilOff, untilOn } from '../support/fast-path.ts';
import { type KubeApiserver, startKubeApiserver } from '../support/kube-apiserver.ts';
import { needs } from '../support/needs.ts';

const START_MS = 180_000;
const LOOK_MS = 60_000;
const TEST_MS = 120_000;
/** A port of its own, because the scene's own servers use port 80. */
const POD_PORT = 8100;
const STRANGER = 'table ip stranger { chain f { type filter hook forward priority 10; counter accept; } }';
const missing = missingPrograms();

interface Service {
  readonly name: string;
  readonly clusterIP: string;
  readonly protocol: 'TCP' | 'UDP';
  readonly nodePort: number;
  readonly isSticky?: boolean;
  /** Indexes of the nodes whose pods are behind the Service. */
  readonly behind: readonly number[];
}

const services: readonly Service[] = [
  { name: 'near-tcp', clusterIP: '10.96.0.41', protocol: 'TCP', nodePort: 30_141, behind: [0] },
  { name: 'near-udp', clusterIP: '10.96.0.42', protocol: 'UDP', nodePort: 30_142, behind: [0] },
  { name: 'far-tcp', clusterIP: '10.96.0.43', protocol: 'TCP', nodePort: 30_143, behind: [1] },
  { name: 'far-udp', clusterIP: '10.96.0.44', protocol: 'UDP', nodePort: 30_144, behind: [1] },
  { name: 'sticky', clusterIP: '10.96.0.45', protocol: 'TCP', nodePort: 30_145, behind: [0, 1], isSticky: true },
];

let server: KubeApiserver;
beforeAll(async () => {
  if (missing === undefined) server = await startKubeApiserver();
}, START_MS);
afterAll(async () => await server?.stop());
beforeEach(() => needs.machine(missing === undefined, missing ?? ''));

async function writeAll(pods: readonly LabPod[]): Promise<void> {
  for (const { name, clusterIP, protocol, nodePort, isSticky, behind } of services) {
    const spec = {
      type: 'NodePort',
      clusterIP,
      ports: [{ port: 80, targetPort: POD_PORT, protocol, nodePort }],
      ...(isSticky === true && { sessionAffinity: 'ClientIP' }),
    };
    const chosen = pods.filter((_, index) => behind.includes(index));
    await writeService(server, 'default', name, spec, chosen, POD_PORT);
  }
}

describe.for([{ mode: 'iptables' as const }, { mode: 'nftables' as const }])('kube-proxy with $mode', ({ mode }) => {
  let scene: ServiceScene;
  let nodes: readonly LabNode[];
  const servers: Server[] = [];

  beforeAll(async () => {
    if (missing !== undefined) return;
    scene = await ServiceScene.start(server, mode, { args: ['--fast-path=redirect'] });
    nodes = scene.lab.nodes;
    for (const pod of scene.webPods) {
      const inside = (argv: readonly string[]): string[] => ['nsenter', `--net=${pod.netnsFromOutside}`, ...argv];
      servers.push(await startServer(inside, `${pod.name}@`, POD_PORT));
    }
    await writeAll(scene.webPods);
    for (const node of nodes) await untilOn(node);
    const areAnswered = async (): Promise<boolean> => (await all()).every((answer) => !answer.endsWith(': '));
    await waitUntil(areAnswered, LOOK_MS, 'an answer of each Service').catch((error: Error) => {
      throw new Error(`${error.message}\n${scene.report()}`);
    });
  }, START_MS);
  afterAll(async () => {
    for (const each of servers.splice(0)) await each.stop();
    await scene?.stop();
  }, START_MS);

  /** Each client's answer at each address: `CLIENT SERVICE ADDRESS: NAME@SOURCE`. A pod of the Service is a client of itself. */
  async function all(): Promise<string[]> {
    const pods = [...scene.clients, ...scene.webPods];
    const asked = services
      .filter(({ isSticky }) => isSticky !== true)
      .flatMap((service) => [
        ...pods.map(async (pod) => `${pod.name} ${service.name}: ${await fromPod(pod, service)}`),
        ...nodes.map(async (node) => `${node.name} ${service.name}: ${await fromOutside(node, service)}`),
      ]);
    return await Promise.all(asked);
  }

  async function fromPod(pod: LabPod, { protocol, clusterIP }: Service): Promise<string> {
    return clean((await pod.exec(askArgv({ protocol: lower(protocol), address: clusterIP, port: 80 }))).stdout);
  }

  /** Calls the node's port from outside the cluster. */
  async function fromOutside({ address }: LabNode, { protocol, nodePort }: Service): Promise<string> {
    const question = askArgv({ protocol: lower(protocol), address, port: nodePort });
    return clean((await runCommand(['nsenter', `--net=/proc/${scene.lab.pid}/ns/net`, '--', ...question])).stdout);
  }

  async function switched<T>(body: () => Promise<T>): Promise<{ fast: T; off: T; classic: T; on: T }> {
    const fast = await body();
    for (const node of nodes) await addTable(node, STRANGER);
    const turningOff = body();
    for (const node of nodes) await untilOff(node, /stranger/);
    const [off, classic] = [await turningOff, await body()];
    for (const node of nodes) await node.run(['nft', 'delete table ip stranger']);
    const turningOn = body();
    for (const node of nodes) await untilOn(node);
    return { fast, off, classic, on: await turningOn };
  }

  test('Services answer in the same way and see the same source', { timeout: TEST_MS }, async () => {
    const { fast, off, classic, on } = await switched(all);
    expect(classic.filter((answer) => answer.endsWith(': '))).toEqual([]);
    expect({ fast, off, on }).toEqual({ fast: classic, off: classic, on: classic });
    const { fast: counted, slow } = await fastPathOf(nodes[0] as LabNode);
    expect(slow).toMatchObject({ tracked: expect.any(Number) });
    // The backend's node does not know the translation that the client's node made, so the packets take the fast path there.
    expect(counted).toMatchObject({ 'from-peer': expect.any(Number) });
  });

  test('a client with session affinity stays at its pod', { timeout: TEST_MS }, async () => {
    const sticky = services.find(({ isSticky }) => isSticky === true) as Service;
    const chosen = async (): Promise<string[]> => {
      const answers: string[] = [];
      for (const pod of scene.clients) for (let time = 0; time < 8; time++) answers.push(await fromPod(pod, sticky));
      return answers;
    };
    const { fast, off, classic, on } = await switched(chosen);
    expect(new Set(fast).size).toBeLessThanOrEqual(scene.clients.length);
    expect({ off, classic, on }).toEqual({ off: fast, classic: fast, on: fast });
  });
});

const lower = (protocol: 'TCP' | 'UDP'): 'tcp' | 'udp' => (protocol === 'TCP' ? 'tcp' : 'udp');
const clean = (answer: string): string => answer.replace('::ffff:', '');
