import { describe, expect, test } from 'vitest';
import { readObjects } from '../../test/cluster/manifests/documents.ts';
import { fillImage, fillNetwork } from './fill.mjs';
import { findNetwork } from './network.mjs';

const node = (name: string, ...podCIDRs: string[]) => ({
  metadata: { name },
  spec: { podCIDR: podCIDRs[0], podCIDRs },
});
const kubeadm = (podSubnet: string) => ({ data: { ClusterConfiguration: `networking:\n  podSubnet: ${podSubnet}\n` } });

describe('findNetwork', () => {
  test.for([
    {
      name: 'takes what the user says',
      input: {
        given: '10.0.0.0/8,fd00::/48',
        kubeadmConfig: kubeadm('10.244.0.0/16'),
        nodes: [node('a', '10.1.0.0/24', 'fd00::/64')],
      },
      want: { 4: '10.0.0.0/8', 6: 'fd00::/48', from: '--network' },
    },
    {
      name: 'takes what kubeadm was told',
      input: {
        kubeadmConfig: kubeadm('10.244.0.0/16,fd00:10:244::/56'),
        nodes: [node('a', '10.244.3.0/24', 'fd00:10:244:3::/64')],
      },
      want: { 4: '10.244.0.0/16', 6: 'fd00:10:244::/56', from: 'kubeadm-config' },
    },
    {
      name: 'takes the usual network that the podCIDRs lie in',
      input: { nodes: [node('a', '10.42.0.0/24', 'fd00:42::/64'), node('b', '10.42.9.0/24', 'fd00:42:0:9::/64')] },
      want: { 4: '10.42.0.0/16', 6: 'fd00:42::/56', from: 'the nodes’ podCIDRs' },
    },
    {
      name: 'takes a wider one where they need it',
      input: { nodes: [node('a', '10.16.0.0/24'), node('b', '10.31.4.0/22')] },
      want: { 4: '10.16.0.0/12', from: 'the nodes’ podCIDRs' },
    },
    {
      name: 'knows IPv6 alone',
      input: { nodes: [node('a', 'fd00:7::/64')] },
      want: { 6: 'fd00:7::/56', from: 'the nodes’ podCIDRs' },
    },
  ])('$name', ({ input, want }) => {
    expect(findNetwork(input)).toEqual(want);
  });

  test.for([
    { name: 'nobody says', input: { nodes: [node('a')] }, want: 'no node has a podCIDR' },
    {
      name: 'a node lies outside',
      input: { kubeadmConfig: kubeadm('10.244.0.0/16'), nodes: [node('far', '10.42.0.0/24')] },
      want: 'the podCIDR 10.42.0.0/24 of node far does not lie in 10.244.0.0/16 (from kubeadm-config)',
    },
    {
      name: 'a family is missing',
      input: { given: '10.244.0.0/16', nodes: [node('a', '10.244.0.0/24', 'fd00::/64')] },
      want: 'fd00::/64 of node a does not lie in no IPv6 network',
    },
    {
      name: 'a podCIDR is wider than the network',
      input: { given: '10.244.0.0/24', nodes: [node('a', '10.244.0.0/16')] },
      want: 'does not lie in 10.244.0.0/24',
    },
    {
      name: 'it is no network',
      input: { given: '10.244.0.0', nodes: [] },
      want: '--network: expected a network such as',
    },
    {
      name: 'it is two of a family',
      input: { given: '10.0.0.0/8,11.0.0.0/8', nodes: [] },
      want: 'expected one network of a family',
    },
  ])('refuses when $name', ({ input, want }) => {
    expect(() => findNetwork(input)).toThrow(want);
  });
});

describe('filling in the manifests', () => {
  const conf = (objects: readonly { kind: string; data?: Record<string, string> }[]) =>
    JSON.parse(objects.find(({ kind }) => kind === 'ConfigMap')?.data?.['net-conf.json'] ?? '');

  test('every container gets the image, and nothing else changes', () => {
    const filled = fillImage(readObjects('cleanup.yml'), 'r.example/weft:1');
    expect(JSON.stringify(filled)).not.toContain('"weft:');
    expect(JSON.stringify(filled).replaceAll('r.example/weft:1', 'IMAGE')).toBe(
      JSON.stringify(readObjects('cleanup.yml')).replaceAll(/weft:\d+\.\d+\.\d+/g, 'IMAGE'),
    );
    expect(() => fillImage(filled, 'other')).toThrow('no container of the manifest has our image');
  });

  test.for([
    { network: { 4: '10.42.0.0/16' }, want: { Network: '10.42.0.0/16', Backend: { Type: 'vxlan' } } },
    {
      network: { 4: '10.42.0.0/16', 6: 'fd00::/56' },
      want: { Network: '10.42.0.0/16', EnableIPv6: true, IPv6Network: 'fd00::/56', Backend: { Type: 'vxlan' } },
    },
    {
      network: { 6: 'fd00::/56' },
      want: { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fd00::/56', Backend: { Type: 'vxlan' } },
    },
  ])('writes the families $network', ({ network, want }) => {
    expect(conf(fillNetwork(readObjects('weft.yml'), network))).toEqual(want);
  });
});
