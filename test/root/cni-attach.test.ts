import { describe, expect } from 'vitest';
import { node, test } from '../support/cni-test.ts';

describe('ADD', () => {
  test('attaches a pod as the flannel chain does', async () => {
    const result = await node.attachment().add();
    const [bridge, host, pod] = result.interfaces ?? [];
    expect(result).toMatchObject({
      cniVersion: '0.3.1',
      interfaces: [{ name: 'cni0' }, { mac: '0a:59:0a:f4:01:02' }, { name: 'eth0', sandbox: '/run/netns/c1' }],
      ips: [{ version: '4', interface: 2, address: '10.244.1.2/24', gateway: '10.244.1.1' }],
      routes: [{ dst: '10.244.0.0/16' }, { dst: '0.0.0.0/0', gw: '10.244.1.1' }],
    });
    const links = await node.links();
    const port = links.find((link) => link.ifname === host?.name);
    expect(port).toMatchObject({ mtu: 1450, master: 'cni0', linkinfo: { info_slave_data: { hairpin: true } } });
    expect(links.find((link) => link.ifname === 'cni0')).toMatchObject({ address: bridge?.mac, mtu: 1450 });
    expect((await node.links('c1')).find((link) => link.ifname === 'eth0')).toMatchObject({
      address: pod?.mac,
      mtu: 1450,
      operstate: 'UP',
    });
    expect(await node.sandbox.must(['ip', 'route'], 'c1')).toBe(
      'default via 10.244.1.1 dev eth0 \n' +
        '10.244.0.0/16 via 10.244.1.1 dev eth0 \n' +
        '10.244.1.0/24 dev eth0 proto kernel scope link src 10.244.1.2 \n',
    );
    expect(await node.sandbox.must(['cat', '/proc/sys/net/ipv4/ip_forward'])).toBe('1\n');
  });

  test('makes pods that reach each other, the node and, by hairpin, themselves', async () => {
    await node.attachment().add();
    await node.attachment({ container: 'c2', netns: await node.pod('c2') }).add();
    await node.sandbox.must(['ip', 'link', 'set', 'lo', 'up'], 'c1');
    expect(await node.reaches('10.244.1.2')).toBe(true);
    expect(await node.reaches('10.244.1.1', 'c1')).toBe(true);
    expect(await node.reaches('10.244.1.3', 'c1')).toBe(true);
    expect(await node.reaches('10.244.1.77', 'c1')).toBe(false);
  });

  test('gives IPv6 addresses that need no duplicate address detection, on the bridge and in the first pod', async () => {
    node.writeSubnetEnv({ FLANNEL_IPV6_NETWORK: 'fd00:244::/48', FLANNEL_IPV6_SUBNET: 'fd00:244:0:1::1/64' });
    const result = await node.attachment().add();
    expect(result.ips?.map((ip) => ip.address)).toEqual(['10.244.1.2/24', 'fd00:244:0:1::2/64']);
    for (const [device, container] of [['cni0'], ['eth0', 'c1']]) {
      const list = ['ip', '-6', 'addr', 'show', 'dev', `${device}`, 'scope', 'global'];
      expect(await node.sandbox.must([...list], container)).toContain('fd00:244:0:1::');
      expect(await node.sandbox.must([...list, 'tentative'], container)).toBe('');
    }
    expect(await node.reaches('fd00:244:0:1::2')).toBe(true);
  });

  test('keeps the bridge’s MTU and MAC when the last pod is removed', async () => {
    await node.attachment().add();
    const before = (await node.links()).find((link) => link.ifname === 'cni0');
    await node.attachment().del();
    const after = (await node.links()).find((link) => link.ifname === 'cni0');
    expect([after?.mtu, after?.address]).toEqual([1450, before?.address]);
  });

  test('gives sixteen pods sixteen addresses on one bridge at the same time', async () => {
    const names = Array.from({ length: 16 }, (_, n) => `p${n}`);
    for (const name of names) await node.pod(name);
    const pods = names.map((name) => node.attachment({ container: name, netns: `/run/netns/${name}` }));
    const results = await Promise.all(pods.map((pod) => pod.add()));
    expect(new Set(results.map((result) => result.ips?.[0]?.address)).size).toBe(16);
    expect(new Set(results.map((result) => result.interfaces?.[0]?.mac)).size).toBe(1);
    await Promise.all(pods.map((pod) => pod.del()));
    expect([await node.veths(), node.kept()]).toEqual([[], []]);
  });
});

test('attaches lo and eth0 at the same moment, as containerd does', async () => {
  const lo = node.attachment({ plugin: 'loopback', ifname: 'lo' }, { name: 'cni-loopback', type: 'loopback' });
  const eth0 = node.attachment();
  const [result] = await Promise.all([lo.add(), eth0.add()]);
  expect(result.ips?.map((ip) => ip.address)).toContain('127.0.0.1/8');
  expect(await node.reaches('127.0.0.1', 'c1')).toBe(true);
  expect(await node.reaches('10.244.1.2')).toBe(true);
  await lo.del();
  await eth0.del();
  expect([await node.veths(), node.kept()]).toEqual([[], []]);
});

describe('an ADD that fails', () => {
  test.for([
    {
      name: 'because the interface exists',
      prepare: 'ip link add eth0 type bridge',
      keys: {},
      msg: /^container veth name \("eth0"\) peer provided \("veth\w+"\) already exists$/,
    },
    {
      name: 'because a route has no way',
      prepare: 'true',
      keys: { ipam: { routes: [{ dst: '192.0.2.0/24', gw: '198.51.100.1' }] } },
      msg: /^failed to add route '192.0.2.0\/24 via 198.51.100.1 dev eth0': network is unreachable$/,
    },
    {
      name: 'because the bridge has another address',
      prepare: 'true',
      onNode: 'ip link add cni0 type bridge; ip addr add 10.99.0.1/24 dev cni0',
      keys: {},
      msg: 'failed to set bridge addr: "cni0" already has an IP address different from 10.244.1.1/24',
    },
    {
      name: 'because the name of the bridge is taken',
      prepare: 'true',
      onNode: 'ip link add cni0 type vxlan id 9 dstport 4789 local 127.0.0.1',
      keys: {},
      msg: 'failed to create bridge "cni0": "cni0" already exists but is not a bridge',
    },
  ])('$name leaves nothing', async ({ prepare, onNode, keys, msg }) => {
    await node.sandbox.must(['sh', '-c', prepare], 'c1');
    if (onNode !== undefined) await node.sandbox.must(['sh', '-c', onNode]);
    const dataDir = { dataDir: node.path('networks') };
    const config = { ...keys, ipam: { ...dataDir, ...keys.ipam } };
    await node.attachment({}, config).fails('ADD', { code: 999, msg });
    expect([await node.veths(), node.kept()]).toEqual([[], []]);
    if (prepare === 'true') expect((await node.links('c1')).map((link) => link.ifname)).toEqual(['lo']);
  });

  test('without a netns makes nothing at all', async () => {
    const msg = 'failed to open netns "/run/netns/none": failed to Statfs "/run/netns/none": no such file or directory';
    await node.attachment({ netns: '/run/netns/none' }).fails('ADD', { code: 999, msg });
    expect((await node.links()).map((link) => link.ifname)).toEqual(['lo']);
    expect(node.kept()).toEqual([]);
  });

  test('a second one for the same attachment leaves the first unchanged', async () => {
    const pod = node.attachment();
    await pod.add();
    const kept = node.kept();
    await pod.fails('ADD', { code: 999, msg: /^container veth name/ });
    expect(node.kept()).toEqual(kept);
    expect(await node.reaches('10.244.1.2')).toBe(true);
    await pod.del();
    expect([await node.veths(), node.kept()]).toEqual([[], []]);
  });
});

test('ADD and DEL work in a root folder with nothing but the executable, /proc and the CNI folders', async () => {
  const root = node.path('root');
  const script = `set -e
mkdir -p ${root}/proc ${root}/bin ${root}/state ${root}/networks ${root}/run/netns
cp ${node.bin}/flannel ${root}/bin/flannel
cp ${node.path('subnet.env')} ${root}/subnet.env
mount --bind ${root} ${root}; mount -o remount,bind,ro ${root}
mount --rbind /proc ${root}/proc; mount --rbind /run/netns ${root}/run/netns
mount -t tmpfs none ${root}/state; mount -t tmpfs none ${root}/networks`;
  await node.sandbox.must(['sh', '-c', script]);
  const config = { ...node.config(), subnetFile: '/subnet.env', dataDir: '/state', ipam: { dataDir: '/networks' } };
  const env = {
    CNI_CONTAINERID: 'c1',
    CNI_NETNS: '/run/netns/c1',
    CNI_IFNAME: 'eth0',
    CNI_PATH: '/bin',
  };
  for (const command of ['ADD', 'DEL']) {
    const input = JSON.stringify(config);
    const argv = ['/usr/sbin/chroot', root, '/bin/flannel'];
    const outcome = await node.sandbox.run(argv, { env: { ...env, CNI_COMMAND: command }, input });
    expect(outcome).toMatchObject({
      exitCode: 0,
      stderr: '',
      stdout: command === 'ADD' ? expect.stringContaining('10.244.1.2/24') : '',
    });
    expect((await node.veths()).length).toBe(command === 'ADD' ? 1 : 0);
  }
});
