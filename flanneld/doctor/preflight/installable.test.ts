import { describe, expect, test } from 'vitest';
import { parseIp, parsePrefix } from '../../../lib/ip.ts';
import { parseNetConf } from '../../../lib/net-conf.ts';
import type { View } from '../view/view.ts';
import { judgePreflight } from './installable.ts';
import { FEATURES } from './kernel-tries.ts';
import type { PreflightFacts } from './preflight-facts.ts';

const { config } = parseNetConf('{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}');
const view = {
  node: 'node-1',
  conf: config,
  kernel: undefined,
  underlay: undefined,
  cni: { confDir: '/etc/cni/net.d' },
  sysctls: new Map(),
} as unknown as View;
const fit: PreflightFacts = {
  view,
  kernel: { problems: new Map(FEATURES.map((feature) => [feature, undefined])), isApart: true },
  programs: { nft: true, iptables: false },
  tunnel: { vni: 1, port: 8472 },
  ...{
    portUsers: [],
    healthPortTaken: undefined,
    chains: [],
    managers: [],
    otherConfs: [],
    otherCnis: [],
    flannel: [],
  },
  firewalld: { isActive: false, trusts: false },
  ...{ forwardingFiles: [], podCidrs: undefined, storeProblem: undefined, sizes: [] },
};

describe('judgePreflight', () => {
  test('finds nothing on a node that is fit', () => {
    expect(judgePreflight(fit)).toEqual([]);
  });

  test.for<{ name: string; facts: Partial<PreflightFacts>; want: readonly { id: string; severity?: string }[] }>([
    { name: 'no podCIDR', facts: { podCidrs: [] }, want: [{ id: 'pod-cidr-unusable' }] },
    {
      name: 'a podCIDR outside',
      facts: { podCidrs: [parsePrefix('10.42.1.0/24')] },
      want: [{ id: 'pod-cidr-unusable' }],
    },
    {
      name: 'a podCIDR of another family',
      facts: { podCidrs: [parsePrefix('10.244.1.0/24'), parsePrefix('fd00::/64')] },
      want: [],
    },
    {
      name: 'a store that is silent',
      facts: { storeProblem: 'kube: get node: timeout' },
      want: [{ id: 'store-unreachable' }],
    },
    {
      name: 'a kernel without VXLAN, which Weft cannot replace',
      facts: { kernel: { problems: new Map([['vxlan', 'EOPNOTSUPP']]), isApart: true } },
      want: [{ id: 'kernel-feature-missing', severity: 'error' }],
    },
    {
      name: 'nothing for a backend without a tunnel',
      facts: { tunnel: undefined, kernel: { problems: new Map([['vxlan', 'EOPNOTSUPP']]), isApart: true } },
      want: [],
    },
    {
      name: 'a kernel without WireGuard when that is the backend',
      facts: { kernel: { problems: new Map([['wireguard', 'EOPNOTSUPP']]), isApart: true } },
      want: [{ id: 'kernel-feature-missing', severity: 'error' }],
    },
    {
      name: 'a kernel without nexthop objects, which Weft can do without',
      facts: { kernel: { problems: new Map([['nexthop objects', 'EOPNOTSUPP']]), isApart: true } },
      want: [{ id: 'kernel-feature-missing', severity: 'info' }],
    },
    {
      name: 'iptables’ FORWARD with the policy that Docker sets',
      facts: { chains: [{ family: 'ip', table: 'filter', name: 'FORWARD', hook: 'forward', policy: 'drop' }] },
      want: [],
    },
    {
      name: 'a policy that drops what comes to the node',
      facts: { chains: [{ family: 'inet', table: 'x', name: 'in', hook: 'input', policy: 'drop' }] },
      want: [{ id: 'firewall-drops-tunnel', severity: 'warning' }],
    },
    {
      name: 'a peer that does not answer at all',
      facts: { sizes: [{ peer: parseIp('192.0.2.1'), bytes: 1500, result: 'unknown' }] },
      want: [],
    },
  ])('$name', ({ facts, want }) => {
    expect(judgePreflight({ ...fit, ...facts })).toMatchObject(want);
    expect(judgePreflight({ ...fit, ...facts })).toHaveLength(want.length);
  });
});
