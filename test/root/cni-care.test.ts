// CHECK, STATUS, GC, the reclaiming of addresses, and delegates that are executed.

import { mkdirSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect } from 'vitest';
import { node, test } from '../support/cni-test.ts';

const latest = { cniVersion: '1.1.0' };

describe('CHECK of flannel', () => {
  test.for([
    {
      name: 'the port lost its hairpin mode',
      breaking: 'bridge link set dev "$(ls /sys/class/net/cni0/brif)" hairpin off',
      msg: /^hairpin mode of veth\w+ is off, configured is on$/,
    },
    {
      name: 'an address is missing',
      breaking: 'ip netns exec c1 ip addr del 10.244.1.2/24 dev eth0',
      msg: 'Failed to match addr 10.244.1.2/24 on interface eth0',
    },
    {
      name: 'the route to the network is missing',
      breaking: 'ip netns exec c1 ip route del 10.244.0.0/16',
      msg: /^Expected Route .*10.244.0.0\/16.* not found in routing table$/,
    },
    {
      name: 'the port left the bridge',
      breaking: 'ip link set "$(ls /sys/class/net/cni0/brif)" nomaster',
      msg: /^no interface of prevResult is a port of cni0 and the other end of eth0$/,
    },
    {
      name: 'the address is nobody’s',
      breaking: 'rm "$0"/networks/cbr0/10.244.1.2',
      msg: 'host-local: Failed to find address added by container c1',
    },
  ])('fails when $name', async ({ breaking, msg }) => {
    const pod = node.attachment({}, { cniVersion: '0.4.0' });
    const prevResult = await pod.add();
    await pod.check(prevResult);
    await node.sandbox.must(['bash', '-c', breaking, node.sandbox.dir]);
    await pod.fails('CHECK', { code: 999, msg }, { prevResult });
  });
});

describe('STATUS of flannel', () => {
  const pod = () => node.attachment({}, latest);

  test('succeeds while a pod could be attached', async () => {
    expect(await pod().exec('STATUS')).toMatchObject({ exitCode: 0, stdout: '' });
    await pod().add();
    expect(await pod().exec('STATUS')).toMatchObject({ exitCode: 0, stdout: '' });
  });

  test.for([
    { name: 'there is no subnet.env', env: undefined, msg: /no such file or directory\. Check the flannel pod log/ },
    { name: 'it is incomplete', env: 'FLANNEL_MTU=1450\n', msg: /is missing FLANNEL_NETWORK/ },
    {
      name: 'it is another subnet’s than the bridge',
      env: 'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.9.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n',
      msg: 'subnet.env says 10.244.9.0/24, but "cni0" has 10.244.1.1/24: one of them is stale',
    },
  ])('has code 50 while $name', async ({ env, msg }) => {
    await pod().add();
    await node.sandbox.must(['rm', node.path('subnet.env')]);
    if (env !== undefined) node.write('subnet.env', env);
    await pod().fails('STATUS', { code: 50, msg });
  });
});

describe('GC of flannel', () => {
  test('removes attachments that are not listed completely, and leaves the others', async () => {
    const kept = node.attachment({}, latest);
    const gone = node.attachment({ container: 'c2', netns: await node.pod('c2') }, latest);
    const old = node.attachment({ container: 'c3', netns: await node.pod('c3') }, latest);
    for (const pod of [kept, gone, old]) await pod.add();
    await node.sandbox.must(['sh', '-c', 'rm "$0"/state/c3*', node.sandbox.dir]);
    const valid = { 'cni.dev/valid-attachments': [{ containerID: 'c1', ifname: 'eth0' }] };
    expect(await kept.exec('GC', valid)).toMatchObject({ exitCode: 0, stdout: '' });
    expect(node.addresses()).toEqual(['10.244.1.2']);
    expect(node.kept()).toEqual(['.c1:eth0:0', '10.244.1.2', 'c1', 'c1:eth0']);
    expect(await node.veths()).toHaveLength(1);
    expect(await node.reaches('10.244.1.2')).toBe(true);
    await kept.exec('GC');
    expect(node.addresses()).toEqual(['10.244.1.2']);
    await kept.exec('GC', { 'cni.dev/valid-attachments': [] });
    expect([await node.veths(), node.kept()]).toEqual([[], []]);
  });
});

describe('a range without a free address', () => {
  const cache = (cid: string, netns: string): void => {
    mkdirSync(node.path('results'), { recursive: true });
    writeFileSync(node.path('results', `cbr0-${cid}-eth0`), JSON.stringify({ netns }));
  };

  beforeEach(async () => {
    node.writeSubnetEnv({ FLANNEL_NETWORK: '10.9.0.0/24', FLANNEL_SUBNET: '10.9.0.1/30' });
    mkdirSync(node.path('results'), { recursive: true });
    await node.sandbox.must([
      'sh',
      '-c',
      'mkdir -p /var/lib/cni && ln -s "$0/results" /var/lib/cni/results',
      node.sandbox.dir,
    ]);
  });

  test('gets back the address of a holder whose netns is gone', async () => {
    await node.attachment({ container: 'c2', netns: await node.pod('c2') }).add();
    cache('c2', '/run/netns/c2');
    await node.sandbox.removeContainer('c2');
    // The kernel removes the namespace and its veth some time later.
    while ((await node.veths()).length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    expect((await node.attachment().add()).ips?.[0]?.address).toBe('10.9.0.2/30');
  });

  test('does not get back an address whose holder the bridge still sees, whatever the cache says', async () => {
    await node.attachment({ container: 'c2', netns: await node.pod('c2') }).add();
    expect(await node.reaches('10.9.0.2')).toBe(true);
    cache('c2', '/run/netns/never');
    await node.attachment().fails('ADD', {
      code: 999,
      msg: 'failed to allocate for range 0: no IP addresses available in range set: 10.9.0.1-10.9.0.2',
      details: 'held by: 10.9.0.2 c2 eth0',
    });
  });

  async function goneWithoutCache(cid: string): Promise<void> {
    await node.attachment({ container: cid, netns: await node.pod(cid) }).add();
    await node.sandbox.removeContainer(cid);
    while ((await node.veths()).length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  test('gets back an address of an unknown holder when no port and no netns is left that may be the holder’s', async () => {
    await goneWithoutCache('c2');
    expect((await node.attachment().add()).ips?.[0]?.address).toBe('10.9.0.2/30');
  });

  test('does not get back such an address while a netns is left that may be the holder’s', async () => {
    await goneWithoutCache('c2');
    await node.pod('nobodys');
    await node
      .attachment()
      .fails('ADD', { code: 999, msg: /no IP addresses available/, details: /10\.9\.0\.2 c2 eth0/ });
  });
});

describe('an executed delegate', () => {
  /** A delegate that answers ADD with a result of a megabyte and writes down how much it received. */
  const script = `#!/bin/sh
cat > "$(dirname "$0")/$CNI_COMMAND.json"
[ "$CNI_COMMAND" = ADD ] || exit 0
head -c 1000000 /dev/zero | tr '\\0' ' '
echo '{"cniVersion":"0.3.1","ips":[{"version":"4","address":"10.5.0.2/24"}]}'`;

  function withStub(name: string, text = script): string {
    node.write(`stub/${name}`, text, 0o755);
    return `${node.path('stub')}:${node.bin}`;
  }

  test.for([
    { name: 'of another type', type: 'other', delegate: { type: 'other' }, keys: {} },
    { name: 'because of a key our bridge does not know', type: 'bridge', delegate: { newThing: 1 }, keys: {} },
    { name: 'because the configuration wants it', type: 'bridge', delegate: {}, keys: { execDelegates: true } },
  ])('$name gets a megabyte and answers with a megabyte', async ({ type, delegate, keys }) => {
    const path = withStub(type);
    const pod = node.attachment({ path }, { delegate, runtimeConfig: { blob: 'x'.repeat(1_000_000) }, ...keys });
    expect((await pod.add()).ips).toEqual([{ version: '4', address: '10.5.0.2/24' }]);
    expect(JSON.parse(node.read('stub/ADD.json'))).toMatchObject({ ...delegate, type, mtu: 1450, name: 'cbr0' });
    await pod.del();
    expect(JSON.parse(node.read('stub/DEL.json'))).toEqual(JSON.parse(node.read('stub/ADD.json')));
    expect(node.kept()).toEqual([]);
  });

  test('is not used in place of our bridge when CNI_PATH has another bridge and the configuration does not ask for it', async () => {
    const pod = node.attachment({ path: withStub('bridge', '#!/bin/sh\nexit 1') });
    expect((await pod.add()).ips?.[0]?.address).toBe('10.244.1.2/24');
  });

  test('that fails gets a DEL, and its error is returned unchanged', async () => {
    const failing = `#!/bin/sh
cat > /dev/null
echo "$CNI_COMMAND" >> "$(dirname "$0")/calls"
[ "$CNI_COMMAND" = ADD ] || exit 0
echo '{"code":11,"msg":"later","details":"d"}'
exit 1`;
    const pod = node.attachment({ path: withStub('other', failing) }, { delegate: { type: 'other' } });
    await pod.fails('ADD', { code: 11, msg: 'later', details: 'd' });
    expect(node.read('stub/calls')).toBe('ADD\nDEL\n');
    expect(node.kept()).toEqual([]);
  });

  test('whose DEL fails keeps the saved configuration for the next try', async () => {
    const path = withStub('other');
    const pod = node.attachment({ path }, { delegate: { type: 'other' } });
    await pod.add();
    const saved = node.kept();
    withStub('other', '#!/bin/sh\necho \'{"code":999,"msg":"not now"}\'\nexit 1');
    await pod.fails('DEL', { code: 999, msg: 'not now' });
    expect(node.kept()).toEqual(saved);
    withStub('other');
    await pod.del();
    expect(node.kept()).toEqual([]);
  });
});
