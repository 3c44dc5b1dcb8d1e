// Bandwidth limits: the same as the Go plugin's, at the largest and smallest values, and removed after their pods.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect } from 'vitest';
import type { Attachment, AttachmentOptions, JsonObject } from '../cni/conformance/attachment.ts';
import { REFERENCE_BIN } from '../support/cni-node.ts';
import { node, test } from '../support/cni-test.ts';
import { needs } from '../support/needs.ts';

beforeEach(async () => {
  const probe = await node.sandbox.run(['ip', 'link', 'add', 'probe', 'type', 'ifb']);
  needs.machine(probe.exitCode === 0, 'a kernel with ifb');
  await sh('ip link del probe; ip link add vethhost type veth peer name eth0 netns c1 && ip link set vethhost up');
});

const sh = (script: string): Promise<string> => node.sandbox.must(['bash', '-c', script]);

const prevResult = {
  cniVersion: '1.0.0',
  interfaces: [{ name: 'vethhost' }, { name: 'eth0', sandbox: '/run/netns/c1' }],
  ips: [{ address: '10.0.0.2/24', interface: 1 }],
};
const LIMITS = { ingressRate: 8_000_000, ingressBurst: 80_000, egressRate: 16_000_000, egressBurst: 80_000 };
/** The burst that CRI-O sends when a pod specifies only a rate. */
const CRIO_BURST = 34_359_738_359;

function pod(options: AttachmentOptions = {}, keys: JsonObject = LIMITS): Attachment {
  const config = { cniVersion: '1.0.0', name: 'n1', type: 'bandwidth', prevResult, ...keys };
  return node.attachment({ plugin: 'bandwidth', ...options }).with({}, config);
}

async function ifbs(): Promise<string[]> {
  const links = await node.links();
  return links.filter(({ linkinfo }) => linkinfo?.info_kind === 'ifb').map(({ ifname }) => ifname);
}

const qdiscs = (dev: string): Promise<string> => sh(`tc -d qdisc show dev ${dev}`);

describe('bandwidth and the Go plugin', () => {
  const references = [REFERENCE_BIN, process.env['CNI_REFERENCE_BIN'] ?? ''].filter((folder) => folder !== '');

  test.for(references)('the plugin in %s and ours each accept and remove what the other made', async (folder) => {
    needs.machine(existsSync(join(folder, 'bandwidth')), `the reference plugins in ${folder}`);
    const [ours, go] = [pod(), pod({ plugin: join(folder, 'bandwidth') })];
    for (const [maker, other] of [
      [ours, go],
      [go, ours],
    ] as const) {
      await maker.add();
      expect(await ifbs()).toEqual(['bwp7be53730afe4']);
      await other.check(prevResult);
      await other.del();
      expect(await ifbs()).toEqual([]);
      await sh('tc qdisc del dev vethhost root; tc qdisc del dev vethhost ingress');
    }
  });
});

describe('bandwidth', () => {
  test('with a burst of 4 GB has a queue that holds large packets and not gigabytes', async () => {
    const keys = { ingressRate: 1_000_000, ingressBurst: CRIO_BURST, egressRate: 1_000_000, egressBurst: CRIO_BURST };
    await pod({}, keys).add();
    for (const dev of ['vethhost', 'bwp7be53730afe4']) expect(await qdiscs(dev)).toContain('limit 1Mb');
    await pod({}, keys).check(prevResult);
  });

  test('limits beyond 32 bits: 100 Gbit', async () => {
    const keys = { ingressRate: 100_000_000_000, ingressBurst: 800_000_000 };
    await pod({}, keys).add();
    expect(await qdiscs('vethhost')).toContain('rate 100Gbit');
    await pod({}, keys).check(prevResult);
  });

  test('without limits returns the result unchanged and makes nothing', async () => {
    const result = await pod({}, { runtimeConfig: { bandwidth: {} } }).add();
    expect(result.interfaces).toEqual(prevResult.interfaces);
    expect(await qdiscs('vethhost')).not.toContain('tbf');
  });

  test.for([
    {
      name: 'no interface of that name is in the pod',
      ifname: 'eth7',
      msg: 'the pod has no interface eth7 to limit',
    },
    { name: 'it is no veth', ifname: 'lo', msg: 'lo of the pod is no veth: it has no end on the node to limit' },
  ])('fails when $name', async ({ ifname, msg }) => {
    await pod({ ifname }).fails('ADD', { code: 999, msg });
    expect(await ifbs()).toEqual([]);
  });

  test('fails when the host’s end is not in the result, and makes nothing', async () => {
    const stranger = { ...prevResult, interfaces: [{ name: 'other' }, { name: 'eth0', sandbox: '/run/netns/c1' }] };
    const msg = "no interface of prevResult is the other end of the pod's veth on the node";
    await pod().fails('ADD', { code: 999, msg }, { prevResult: stranger });
    expect(await qdiscs('vethhost')).not.toContain('tbf');
  });

  test('leaves foreign filters alone, and removes its ifb again when they are in the way', async () => {
    await sh('tc qdisc add dev vethhost clsact && tc filter add dev vethhost ingress protocol ip u32 match u32 0 0');
    await pod().fails('ADD', { code: 999, msg: 'cannot catch what comes from vethhost: file exists' });
    expect(await ifbs()).toEqual([]);
    expect(await sh('tc filter show dev vethhost ingress')).toContain('u32');
  });

  test('DEL needs no netns, no limits and no correct configuration', async () => {
    for (const keys of [{}, { ingressRate: 5 }, { egressBurst: 'x' }]) {
      await pod().add();
      await pod({ env: { CNI_NETNS: '' } }, keys).del();
      expect(await ifbs()).toEqual([]);
    }
  });

  test('GC removes the ifbs of attachments that are not listed and of a killed ADD, and not those of other networks or programs', async () => {
    await sh(
      'ip link add bwpforeign type ifb && tc qdisc add dev bwpforeign root tbf rate 1mbit burst 10kb latency 25ms',
    );
    await sh('ip link add ifb7 type ifb && ip link add bwpkilled type ifb');
    await pod({ container: 'keep' }).add();
    const kept = (await ifbs()).find((name) => /^bwp[0-9a-f]{12}$/.test(name));
    await pod({ container: 'lost' }).add();
    await pod({ container: 'lost' }, { ...LIMITS, name: 'n2' }).add();
    expect(await ifbs()).toHaveLength(6);
    const gc = pod({}, { cniVersion: '1.1.0', prevResult: undefined });
    const valid = { 'cni.dev/valid-attachments': [{ containerID: 'keep', ifname: 'eth0' }] };
    expect(await gc.exec('GC')).toMatchObject({ exitCode: 0 });
    expect(await ifbs()).toHaveLength(6);
    expect(await gc.exec('GC', valid)).toMatchObject({ exitCode: 0, stdout: '' });
    const left = await ifbs();
    expect(left).toHaveLength(4);
    expect(left).toEqual(expect.arrayContaining(['bwpforeign', 'ifb7', kept]));
  });
});
