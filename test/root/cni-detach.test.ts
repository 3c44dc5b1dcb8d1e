import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { Attachment } from '../cni/conformance/attachment.ts';
import { REFERENCE_BIN } from '../support/cni-node.ts';
import { node, test } from '../support/cni-test.ts';
import { needs } from '../support/needs.ts';

async function expectNothingLeft(): Promise<void> {
  expect([await node.veths(), node.kept()]).toEqual([[], []]);
}

describe('DEL', () => {
  test('returns when the interface is gone from pod and node, and the only address can be used again', async () => {
    node.writeSubnetEnv({ FLANNEL_NETWORK: '10.9.0.0/24', FLANNEL_SUBNET: '10.9.0.1/30' });
    const pod = node.attachment();
    for (let round = 0; round < 40; round++) {
      const { ips } = await pod.add();
      expect(ips?.[0]?.address).toBe('10.9.0.2/30');
      expect(await node.reaches('10.9.0.2')).toBe(true);
      await pod.del();
      await expectNothingLeft();
      expect((await node.links('c1')).map((link) => link.ifname)).toEqual(['lo']);
    }
  });

  test('succeeds a second and a third time, as kubelet calls it', async () => {
    const pod = node.attachment();
    await pod.add();
    for (let time = 0; time < 3; time++) await pod.del();
    await expectNothingLeft();
  });

  test.for([
    { name: 'the netns is gone', netns: '/run/netns/c1', before: 'umount /run/netns/c1; rm /run/netns/c1' },
    { name: 'the netns is gone and its file left', netns: '/run/netns/c1', before: 'umount /run/netns/c1' },
    { name: 'no netns is named', netns: '', before: 'true' },
    { name: 'the interface is gone', netns: '/run/netns/c1', before: 'ip netns exec c1 ip link del eth0' },
    { name: 'subnet.env is gone', netns: '/run/netns/c1', before: 'rm -f "$0/subnet.env"' },
    { name: 'the bridge is gone', netns: '/run/netns/c1', before: 'ip link del cni0' },
    { name: 'the saved configuration is lost', netns: '/run/netns/c1', before: 'rm -r "$0/state"' },
    { name: 'the saved configuration is empty', netns: '/run/netns/c1', before: ': > "$0/state/c1:eth0"' },
    { name: 'the saved configuration is half', netns: '/run/netns/c1', before: 'echo "{bad" > "$0/state/c1:eth0"' },
    { name: 'the index is lost', netns: '/run/netns/c1', before: 'rm "$0"/networks/cbr0/.c1*' },
    { name: 'the address file is lost', netns: '/run/netns/c1', before: 'rm "$0"/networks/cbr0/10.244.1.2' },
  ])('leaves nothing when $name', async ({ netns, before }) => {
    await node.attachment().add();
    await node.sandbox.must(['sh', '-c', before, node.sandbox.dir]);
    await node.attachment({ netns }).del();
    await expectNothingLeft();
  });

  test('of one interface leaves the container’s other one', async () => {
    const eth0 = node.attachment();
    const eth1 = node.attachment({ ifname: 'eth1' });
    await eth0.add();
    await eth1.add();
    await eth0.del();
    expect(await node.veths()).toHaveLength(1);
    expect(node.addresses()).toEqual(['10.244.1.3']);
    await eth1.del();
    await expectNothingLeft();
  });

  test.for([
    { name: 'made here', rename: false },
    { name: 'whose veth has another name', rename: true },
  ])('lets the runtime unmount the netns of a pod $name at once', async ({ rename }) => {
    await node.attachment().add();
    // A name like those of the Go plugins, which do not derive it from the attachment.
    const [veth = ''] = await node.veths();
    if (rename) await node.sandbox.must(['ip', 'link', 'set', veth, 'down', 'name', 'veth12345678']);
    await node.attachment().del();
    await node.sandbox.must(['umount', '/run/netns/c1']);
    await expectNothingLeft();
  });

  test('succeeds for a pod that nobody attached', async () => {
    await node.attachment({ container: 'never', netns: '/run/netns/none' }).del();
    await expectNothingLeft();
  });

  test('works from what flannel’s own plugin saved', async () => {
    await node.attachment().add();
    rmSync(node.path('state', 'c1:eth0'));
    writeFileSync(node.path('subnet.env'), '');
    await node.attachment({}, { ipam: {}, delegate: {} }).del();
    await expectNothingLeft();
  });
});

describe('beside the reference plugins on one node', () => {
  const keys = { cniVersion: '0.4.0', type: 'bridge', isDefaultGateway: true, hairpinMode: true, mtu: 1450 };

  function attachment(plugin: string, container: string, netns: string): Attachment {
    const ipam = { type: 'host-local', dataDir: node.path('networks'), ranges: [[{ subnet: '10.244.1.0/24' }]] };
    const path = plugin.startsWith('/') ? REFERENCE_BIN : node.bin;
    return new Attachment(node, { name: 'cbr0', ...keys, ipam }, { plugin, container, netns, path });
  }

  test.for([
    { name: 'made by the reference, removed by ours', add: `${REFERENCE_BIN}/bridge`, del: 'bridge' },
    { name: 'made by ours, removed by the reference', add: 'bridge', del: `${REFERENCE_BIN}/bridge` },
  ])('a pod is $name', async ({ add, del }) => {
    needs.machine(existsSync(`${REFERENCE_BIN}/bridge`), `${REFERENCE_BIN}/bridge`);
    const stays = attachment(add === 'bridge' ? del : 'bridge', 'stays', await node.pod('stays'));
    await stays.add();
    const made = attachment(add, 'c1', '/run/netns/c1');
    const result = await made.add();
    expect(result.ips?.[0]?.address).toBe('10.244.1.3/24');
    await attachment(del, 'c1', '/run/netns/c1').check(result);
    await attachment(del, 'c1', '/run/netns/c1').del();
    expect(node.addresses()).toEqual(['10.244.1.2']);
    expect(await node.veths()).toHaveLength(1);
    expect(await node.reaches('10.244.1.2')).toBe(true);
    expect(node.kept().filter((name) => name.includes('c1'))).toEqual([]);
  });

  test('both allocate at the same moment and get different addresses', async () => {
    needs.machine(existsSync(`${REFERENCE_BIN}/host-local`), `${REFERENCE_BIN}/host-local`);
    const ipam = { type: 'host-local', dataDir: node.path('networks'), ranges: [[{ subnet: '10.244.1.0/24' }]] };
    const calls = Array.from({ length: 40 }, (_, n) => {
      const plugin = n % 2 === 0 ? 'host-local' : `${REFERENCE_BIN}/host-local`;
      return new Attachment(node, { cniVersion: '0.4.0', name: 'cbr0', ipam }, { plugin, container: `p${n}` });
    });
    const results = await Promise.all(calls.map((call) => call.add()));
    expect(new Set(results.map((result) => result.ips?.[0]?.address)).size).toBe(40);
    // Each plugin releases the addresses that the other allocated.
    await Promise.all(
      calls.map((call, n) => call.with({ plugin: n % 2 === 1 ? 'host-local' : `${REFERENCE_BIN}/host-local` }).del()),
    );
    expect(node.kept()).toEqual([]);
  });
});
