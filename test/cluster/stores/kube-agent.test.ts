// Whole agents on a real kube-apiserver: what they write into Events when hostile text comes from annotations, leases, files, rules and
// devices; and what happens to a node whose Node is registered again with another podCIDR.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { nodeEvent } from '../../../flanneld/subnet/kube/node-status.ts';
import { CNI_BIN_FOLDER, CONFLIST_FOLDER } from '../../lab/contract.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { answered } from '../../lab/matrix.ts';
import { classicConflist } from '../../lab/node-spec.ts';
import { waitUntil } from '../../lab/processes.ts';
import { LAUNCHER } from '../../lab/support/launcher-script.ts';
import { apiserverNeeded, hasKubeApiserver } from '../../support/kube-apiserver.ts';
import { needs } from '../../support/needs.ts';
import { unsafeIn } from '../../support/unsafe-characters.ts';
import { type KubeOutageStore, kubeStore, OutageScene } from './outage-scene.ts';

const START_MS = 180_000;
const LOOK_MS = 30_000;
const PREFIX = 'flannel.alpha.coreos.com/';
const CNI_CONF_FILE = '/etc/kube-flannel/cni-conf.json';
/** A terminal command, a C1 line end, and an override of the direction of writing. */
const HOSTILE = '\x1b[2J\u0085\u202e';
const ESCAPED = /\\(?:x|u00)1b/;

let dir = '';
let store: KubeOutageStore;
let scene: OutageScene | undefined;
let node: LabNode;
let peer: LabNode;

beforeAll(async () => {
  if (!hasKubeApiserver()) return;
  dir = mkdtempSync(join(tmpdir(), 'weft-kube-agent-'));
  store = await kubeStore();
  scene = await OutageScene.start(store, dir);
  [node, peer] = [scene.lab.node('node-1'), scene.lab.node('node-2')];
  const cni = [`--cni-conf=${CNI_CONF_FILE}`, `--cni-conf-dir=${CONFLIST_FOLDER}`, `--cni-bin-dir=${CNI_BIN_FOLDER}`];
  node.writeFile(CNI_CONF_FILE, JSON.stringify(classicConflist));
  node.writeFile(LAUNCHER, `${node.readFile(LAUNCHER).trimEnd()} ${cni.join(' ')}\n`);
  await node.agent.stop();
  await node.agent.start();
  await node.agent.ready();
}, START_MS);
afterAll(async () => {
  await scene?.stop();
  rmSync(dir, { recursive: true, force: true });
}, START_MS);
beforeEach(() => needs.machine(hasKubeApiserver(), apiserverNeeded));

async function annotate(name: string, annotations: Readonly<Record<string, string | null>>): Promise<void> {
  const all = Object.fromEntries(Object.entries(annotations).map(([key, value]) => [PREFIX + key, value]));
  const path = `/api/v1/nodes/${name}`;
  const body = { metadata: { annotations: all } };
  await store.server.must({ method: 'PATCH', path, body, contentType: 'application/merge-patch+json' });
}

async function readyz(): Promise<{ status: number; body: string }> {
  return await node.agent.http('/readyz?verbose').catch(() => ({ status: 0, body: '' }));
}

async function becomes(status: number, words: string): Promise<string> {
  let last = await readyz();
  await waitUntil(
    async () => {
      last = await readyz();
      return last.status === status && last.body.includes(words);
    },
    LOOK_MS,
    `${status} and "${words}"`,
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${last.status} ${last.body}`);
  });
  return last.body;
}

interface ShownEvent {
  readonly reason: string;
  readonly message: string;
  readonly type?: string;
  readonly involvedObject?: { readonly kind: string; readonly name: string };
  readonly source: { readonly component?: string };
}

async function events(): Promise<readonly ShownEvent[]> {
  const { body } = await store.server.must({ path: '/api/v1/namespaces/default/events' });
  return body['items'] as ShownEvent[];
}

async function eventsOf(reason: string): Promise<readonly ShownEvent[]> {
  return (await events()).filter((event) => event.reason === reason);
}

describe('hostile text in Events', () => {
  const isSafe = (text: string): boolean => unsafeIn(text).length === 0 && !text.includes('\n');

  test('control: the API server takes and shows such text as it is', async () => {
    const event = { ...nodeEvent({ node: 'ghost', reason: 'Control', message: '' }, new Date()), message: HOSTILE };
    await store.server.must({ path: '/api/v1/namespaces/default/events', body: event });
    const [shown] = await eventsOf('Control');
    expect(shown?.message).toBe(HOSTILE);
    expect(isSafe(HOSTILE)).toBe(false);
  });

  test.for([
    {
      name: 'an annotation',
      reason: 'PublicIPRefused',
      harm: () => annotate('node-1', { 'node-public-ip': `${HOSTILE}\nfake` }),
      undo: () => annotate('node-1', { 'node-public-ip': null }),
    },
    {
      name: 'the name of a file',
      reason: 'CNIFoldersDoubtful',
      harm: () => Promise.resolve(node.writeFile(`${CONFLIST_FOLDER}/00-${HOSTILE}\nfake.conflist`, '{}')),
      undo: async () => void (await node.run(['sh', '-c', `rm ${CONFLIST_FOLDER}/00-*`])),
    },
    {
      name: 'the comment of a rule that refuses pods’ packets',
      reason: 'PodsNotForwarded',
      harm: async () => {
        const chain = 'add chain inet strict onward { type filter hook forward priority 5; policy accept; }';
        const input = `add table inet strict\n${chain}\nadd rule inet strict onward drop comment "${HOSTILE}"\n`;
        await node.run(['nft', '-f', '-'], { input });
      },
      undo: async () => void (await node.run(['nft', 'delete', 'table', 'inet', 'strict'])),
    },
  ])('of $name is escaped', async ({ reason, harm, undo }) => {
    await harm();
    try {
      const isTold = async (): Promise<boolean> =>
        (await eventsOf(reason)).some(({ message }) => ESCAPED.test(message) || message.includes(HOSTILE));
      await waitUntil(isTold, LOOK_MS, `an Event ${reason} of it`);
    } finally {
      await undo();
    }
    const messages = (await eventsOf(reason)).map(({ message }) => message);
    expect(messages.filter((message) => !isSafe(message))).toEqual([]);
    expect(messages.join()).toMatch(ESCAPED);
  });

  test('of another node’s lease and of a renamed device is in none', async () => {
    const lease = { 'kube-subnet-manager': 'true', 'backend-type': 'vxlan', 'public-ip': HOSTILE };
    await annotate('ghost', { ...lease, 'backend-data': `{"VtepMAC":"${HOSTILE}"}` });
    const names = (words: string) => (): boolean => {
      const line = node.agent
        .log()
        .split('\n')
        .find((one) => one.includes(words));
      return line !== undefined && ESCAPED.test(line);
    };
    await waitUntil(names('ghost'), LOOK_MS, 'the lease in the log');
    const other = 'fl\x1b\u202e';
    await node.run(['ip', 'link', 'set', 'flannel.1', 'name', other]);
    await waitUntil(names('has renamed the device'), LOOK_MS, 'the device in the log');
    await node.run(['ip', 'link', 'set', other, 'name', 'flannel.1']);
    await node.agent.ready();
    const ours = (await events()).filter(({ source }) => source.component === 'weft-flanneld');
    const unsafe = ours.filter(({ reason, message }) => reason !== 'Control' && !isSafe(message));
    expect(unsafe).toEqual([]);
  });
});

describe('findings as Events of the Node', () => {
  const about = async (reason: string): Promise<readonly ShownEvent[]> =>
    (await eventsOf(reason)).filter(({ involvedObject }) => involvedObject?.name === 'node-1');

  test('one when a problem appears, in the words of doctor, and one when it has ended', async () => {
    const drop =
      'table inet block { chain in { type filter hook prerouting priority -400; iifname "eth0" udp dport { 8472, 8477 } drop; }; }';
    await node.run(['nft', drop]);
    const end = async (): Promise<void> => void (await node.exec(['nft', 'delete', 'table', 'inet', 'block']));
    let told: readonly ShownEvent[] = [];
    try {
      const isTold = async (): Promise<boolean> => {
        const ours = (await events()).filter(({ involvedObject }) => involvedObject?.name === 'node-1');
        told = ours.filter(({ message }) =>
          /^(tunnel|peer|firewall)-[a-z-]+( \(.*\))?: .+ Seen: .+ Fix: /.test(message),
        );
        return told.length > 0;
      };
      await waitUntil(isTold, 2 * LOOK_MS, 'an Event of a finding');
    } finally {
      await end();
    }
    const [first] = told;
    expect(first).toMatchObject({ type: 'Warning', involvedObject: { kind: 'Node' } });
    const id = first?.message.split(/[ :]/)[0] ?? '';
    const { findings } = JSON.parse(
      await node.run(['flanneld', 'status', '--json']).catch(() => '{"findings":[]}'),
    ) as {
      findings: { id: string; cause: string }[];
    };
    const same = findings.find((finding) => finding.id === id);
    if (same !== undefined) expect(first?.message).toContain(same.cause);
    const ended = `${first?.reason}Ended`;
    await waitUntil(async () => (await about(ended)).length > 0, 3 * LOOK_MS, `an Event ${ended}`);
    expect((await about(ended))[0]).toMatchObject({
      type: 'Normal',
      message: expect.stringMatching(`^${id} has ended, after`),
    });
    // Each problem is reported once, however often the agent checks.
    expect(await about(first?.reason ?? '')).toHaveLength(1);
  }, 240_000);
});

describe('a Node that is registered again with another podCIDR', () => {
  const register = async (podCIDR: string): Promise<void> => {
    const path = '/api/v1/nodes';
    await store.server.must({ method: 'DELETE', path: `${path}/node-1` });
    const body = { metadata: { name: 'node-1' }, spec: { podCIDR, podCIDRs: [podCIDR] } };
    await store.server.must({ path, body });
  };
  const bridge = async (): Promise<string> => await node.run(['ip', '-br', 'addr', 'show', 'cni0']);

  test('ends the agent, and the next one names the addresses while pods have the old', async () => {
    expect(await bridge()).toContain('10.244.1.1/24');
    await register('10.244.101.0/24');
    await waitUntil(async () => !(await node.agent.state()).running, LOOK_MS, 'the agent’s end');
    expect((await node.agent.state()).exitCode).toBe(1);
    expect(node.agent.log()).toContain('the Node has another podCIDR now');
    await node.agent.start();
    const body = await becomes(503, "this node's subnet is 10.244.101.0/24");
    expect(body).toContain('10.244.1.1/24');
    expect(body).toContain('ip link del cni0');
    expect(await bridge()).toContain('10.244.1.1/24');
  });

  test('has the addresses of the new one once no pod is left, and pods that its peers reach', async () => {
    for (const { name } of node.pods) await node.removePod(name);
    await becomes(200, 'ready');
    await waitUntil(async () => (await bridge()).includes('10.244.101.1/24'), LOOK_MS, 'the new address');
    expect(await bridge()).not.toContain('10.244.1.1');
    const pod = await node.addPod();
    expect(pod.ip).toMatch(/^10\.244\.101\./);
    const routes = async (): Promise<string> => await peer.run(['ip', 'route']);
    await waitUntil(async () => (await routes()).includes('10.244.101.0/24'), LOOK_MS, 'the peer’s route');
    expect(await routes()).not.toContain('10.244.1.0/24');
    const [other] = peer.pods;
    await waitUntil(async () => answered((await other?.ping([pod.ip])) ?? []).length === 1, LOOK_MS, 'an answer');
  });
});
