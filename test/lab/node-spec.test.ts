import { expect, test } from 'vitest';
import { MAX_NODES, underlayAddress } from './host/underlay.ts';
import { classicConflist, nodeSpec } from './node-spec.ts';

const base = { pluginFolder: '/plugins', agent: { file: '/agent' } } as const;

test('a node has its name, its address and flannel’s configuration', () => {
  const spec = nodeSpec(3, base);
  expect(spec).toMatchObject({
    name: 'node-3',
    index: 3,
    address: '192.168.50.13/24',
    gateway: '192.168.50.1',
    mtuBytes: 1500,
  });
  expect(JSON.parse(spec.files['/etc/kube-flannel/net-conf.json'] ?? '')).toEqual({
    Network: '10.244.0.0/16',
    Backend: { Type: 'vxlan' },
  });
});

test('the agent installs the conflist, with the lab’s flags before the caller’s', () => {
  const { agent, files } = nodeSpec(1, { ...base, agent: { file: '/agent', args: ['-v=4'], env: { A: 'b' } } });
  expect(agent?.argv).toEqual([
    '/agent',
    '--iface=eth0',
    '--net-config-path=/etc/kube-flannel/net-conf.json',
    '--subnet-dir=/run/lab/leases',
    '--subnet-file=/run/flannel/subnet.env',
    '--ip-masq',
    '--healthz-ip=127.0.0.1',
    '--healthz-port=10256',
    '--cni-conf=/etc/kube-flannel/cni-conf.json',
    '--cni-conf-dir=/etc/cni/net.d',
    '-v=4',
  ]);
  expect(agent?.env).toMatchObject({ NODE_NAME: 'node-1', A: 'b' });
  expect(JSON.parse(files['/etc/kube-flannel/cni-conf.json'] ?? '')).toEqual(classicConflist);
  expect(files).not.toHaveProperty('/etc/cni/net.d/10-flannel.conflist');
});

test.for([
  { name: 'there is no agent', agent: false as const, wantAgent: false },
  { name: 'the agent is not started', agent: { file: '/agent', start: false }, wantAgent: true },
])('the conflist exists from the beginning when $name', ({ agent, wantAgent }) => {
  const spec = nodeSpec(1, { ...base, agent });
  expect(JSON.parse(spec.files['/etc/cni/net.d/10-flannel.conflist'] ?? '')).toEqual(classicConflist);
  expect(spec.agent !== undefined).toBe(wantAgent);
  expect(spec.agent?.argv.some((flag) => flag.startsWith('--cni-conf'))).not.toBe(true);
});

test('there may be no conflist at all', () => {
  const { files, agent } = nodeSpec(1, { ...base, conflist: false });
  expect(Object.keys(files)).toEqual(['/etc/kube-flannel/net-conf.json']);
  expect(agent?.argv.some((flag) => flag.startsWith('--cni-conf'))).toBe(false);
});

test('every node up to the last has its own address in the underlay', () => {
  expect(underlayAddress(1)).toBe('192.168.50.11/24');
  expect(underlayAddress(MAX_NODES)).toBe('192.168.50.210/24');
});
