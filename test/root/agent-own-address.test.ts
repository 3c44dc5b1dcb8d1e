// An administrator asks for node addresses that the node cannot publish. The agent refuses them, reports this in `status` and as an Event,
// and goes on with the addresses that work.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../lab/processes.ts';
import { vxlanPlaceOf } from '../lab/support/vxlan-state.ts';
import { FakeKubeSite } from '../support/fake-kube-site.ts';

const LOOK_MS = 30_000;
const PREFIX = 'flannel.alpha.coreos.com/';
const ALLOWED = 'expected an IPv4 unicast address that other nodes can send to, outside the pod network 10.244.0.0/16';

let site: FakeKubeSite;

beforeAll(async () => {
  site = await FakeKubeSite.make();
  site.server.addNode('node-1', ['10.244.1.0/24'], { [`${PREFIX}public-ip-overwrite`]: '127.0.0.1' });
  await site.connect();
  await site.node.agent.start();
  await site.node.agent.ready();
});
afterAll(() => site?.down());

function annotate(name: string, value: string | undefined): void {
  site.server.change('node-1', ({ metadata: { annotations } }) => {
    delete annotations[PREFIX + name];
    if (value !== undefined) annotations[PREFIX + name] = value;
  });
}

async function findings(): Promise<string[]> {
  const { report } = await site.status();
  expect(report.ready).toBe(true);
  return report.checks.flatMap(({ name, problem }) =>
    name === 'own address' && problem !== undefined ? [problem] : [],
  );
}

async function finds(want: readonly string[]): Promise<void> {
  await waitUntil(async () => (await findings()).join('\n') === want.join('\n'), LOOK_MS, want.join('\n') || 'nothing');
}

const published = (): string | undefined => site.server.nodes.get('node-1')?.metadata.annotations[`${PREFIX}public-ip`];
const events = (): unknown[] => site.server.events.filter(({ reason }) => reason === 'PublicIPRefused');

test('an annotation with an address nobody can send to does not keep the node from starting with its own address', async () => {
  const message = `annotation ${PREFIX}public-ip-overwrite: ${ALLOWED}, got "127.0.0.1", which is a loopback address; this annotation is ignored`;
  expect(await findings()).toEqual([message]);
  expect(published()).toBe('192.168.50.11');
  expect(await vxlanPlaceOf(site.node)).toBe('192.168.50.11 on eth0');
  await waitUntil(() => events().length === 1, LOOK_MS, 'the Event');
  expect(events()).toMatchObject([{ type: 'Warning', message, involvedObject: { kind: 'Node', name: 'node-1' } }]);
  expect(site.node.agent.log()).toContain('address in an annotation of this node refused');
  annotate('public-ip-overwrite', undefined);
  await finds([]);
});

test('the last good address is kept while the agent runs, even when the broadcast address of a link is asked for', async () => {
  annotate('public-ip-overwrite', '203.0.113.7');
  await waitUntil(() => published() === '203.0.113.7', LOOK_MS, 'the overwrite');
  annotate('public-ip-overwrite', '192.168.50.255');
  const why = 'which is the broadcast address of a link of this node; 203.0.113.7 stays in use';
  await finds([`annotation ${PREFIX}public-ip-overwrite: ${ALLOWED}, got "192.168.50.255", ${why}`]);
  expect(published()).toBe('203.0.113.7');
  annotate('public-ip-overwrite', undefined);
  await waitUntil(() => published() === '192.168.50.11', LOOK_MS, 'the own address');
  annotate('node-public-ip', '10.244.3.3');
  const inside = 'which lies inside the pod network 10.244.0.0/16; this annotation is ignored';
  await finds([`annotation ${PREFIX}node-public-ip: ${ALLOWED}, got "10.244.3.3", ${inside}`]);
  expect(await vxlanPlaceOf(site.node)).toBe('192.168.50.11 on eth0');
  annotate('node-public-ip', undefined);
  await finds([]);
});

test('another node that publishes the same address is named together with ours, and nothing is refused', async () => {
  const annotations = {
    [`${PREFIX}kube-subnet-manager`]: 'true',
    [`${PREFIX}backend-type`]: 'vxlan',
    [`${PREFIX}backend-data`]: '{"VNI":1,"VtepMAC":"02:00:00:00:00:99"}',
    [`${PREFIX}public-ip`]: '192.168.50.11',
  };
  site.server.addNode('node-old', ['10.244.9.0/24'], annotations);
  await waitUntil(async () => (await findings()).length === 1, LOOK_MS, 'the finding');
  expect((await findings())[0]).toMatch(/^192\.168\.50\.11 is published by node-1 and by node-old, so packets /);
  site.server.deleteNode('node-old');
  await finds([]);
});
