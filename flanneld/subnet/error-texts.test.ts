// Users search for the errors of flannel's agent. Our error in the same situation has the same words and also says what to do.
// Those of the CNI plugin are in test/root/cni-error-texts.test.ts, those of etcd in test/cluster/stores/etcd-faults.test.ts.

import { describe, expect, onTestFinished, test } from 'vitest';
import { errorText } from '../../lib/errors.ts';
import { parseIp, parsePrefix } from '../../lib/ip.ts';
import { parseNetConf } from '../../lib/net-conf.ts';
import { IFF_UP, RTN_UNICAST } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { ipv6SubnetPool, subnetPool } from '../../lib/subnet-pool.ts';
import { freePorts } from '../../test/support/background.ts';
import { FakeKube } from '../../test/support/fake-kube.ts';
import { makeKubeSite } from '../../test/support/kube-site.ts';
import { expectFound, type SearchedError } from '../../test/support/search-words.ts';
import { never, nodeAttributes } from '../../test/support/store-contract.ts';
import { chooseBackend } from '../backend/registry.ts';
import type { InterfaceOptions } from '../cli/options.ts';
import { selectExternalInterface } from '../underlay/external-interface.ts';
import { KubeApi } from './kube/api.ts';
import { findPodCidrProblem, leaseOfNode, podSubnets } from './kube/node-lease.ts';

interface Row extends SearchedError {
  readonly fail: () => unknown;
}

const v4 = { Network: '10.3.0.0/16' };
const v6 = { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fc00::/48' };
const conf = (doc: object) => parseNetConf(JSON.stringify(doc)).config;
const pool = (doc: object) => (): unknown => subnetPool(conf({ ...v4, ...doc }));
const pool6 = (doc: object) => (): unknown => ipv6SubnetPool(conf({ ...v6, ...doc }));

const eth0 = { index: 2, name: 'eth0', flags: IFF_UP, mtu: 1500 };
const none = { iface: [], ifaceRegex: [], ifaceCanReach: undefined, publicIp: undefined, publicIpv6: undefined };
const address = { index: 2, family: 4 as const, ip: parseIp('10.0.0.1'), length: 24, scope: 0, flags: 0x80 };
const hopless = {
  family: 4 as const,
  destination: parsePrefix('0.0.0.0/0'),
  table: 254,
  protocol: 3,
  scope: 0,
  type: RTN_UNICAST,
  flags: 0,
};
const select = (options: Partial<InterfaceOptions>) => (): unknown =>
  selectExternalInterface({ links: [eth0], addresses: [address], routes: [hopless], lookup: () => undefined }, [4], {
    ...none,
    ...options,
  });

const rows: readonly Row[] = [
  {
    flannel: 'please define a correct Network parameter in the flannel config',
    advice: /expected an IPv4 CIDR such as "10\.244\.0\.0\/16"/,
    fail: () => conf({}),
  },
  {
    flannel: 'please define a correct IPv6Network parameter in the flannel config',
    advice: /expected an IPv6 CIDR such as/,
    fail: () => conf({ ...v4, EnableIPv6: true }),
  },
  {
    flannel: 'unknown backend type: gre',
    advice: /expected one of vxlan, /,
    fail: () => chooseBackend(conf({ ...v4, Backend: { Type: 'gre' } })),
  },
  {
    flannel: 'unknown backend type:',
    advice: /expected one of vxlan, /,
    fail: () => chooseBackend(conf({ ...v4, Backend: {} })),
  },
  {
    flannel: 'none defined stack',
    advice: /expected at least one to be true/,
    fail: () => conf({ ...v4, EnableIPv4: false }),
  },
  { flannel: 'SubnetLen must be less than /31', advice: /got 31/, fail: pool({ SubnetLen: 31 }) },
  { flannel: 'IPv6SubnetLen must be less than /127', advice: /got 127/, fail: pool6({ IPv6SubnetLen: 127 }) },
  {
    flannel: 'network must be able to accommodate at least four subnets',
    advice: /expected at least 18 for Network 10\.3\.0\.0\/16/,
    fail: pool({ SubnetLen: 17 }),
  },
  {
    flannel: 'network is too small. Minimum useful network prefix is /28',
    advice: /got 10\.3\.0\.0\/29/,
    fail: pool({ Network: '10.3.0.0/29' }),
  },
  {
    flannel: 'IPv6Network is too small. Minimum useful network prefix is /124',
    advice: /got fc00::\/125/,
    fail: pool6({ IPv6Network: 'fc00::/125' }),
  },
  {
    flannel: 'SubnetMin is not in the range of the Network',
    advice: /expected an address in 10\.3\.0\.0\/16/,
    fail: pool({ SubnetMin: '10.4.0.0' }),
  },
  {
    flannel: 'SubnetMax is not in the range of the Network',
    advice: /expected an address in 10\.3\.0\.0\/16/,
    fail: pool({ SubnetMax: '10.2.0.0' }),
  },
  {
    flannel: 'IPv6SubnetMin is not in the range of the IPv6Network',
    advice: /expected an address in fc00::\/48/,
    fail: pool6({ IPv6SubnetMin: 'fd00::' }),
  },
  {
    flannel: 'SubnetMin is not on a SubnetLen boundary',
    advice: /expected 10\.3\.1\.0 /,
    fail: pool({ SubnetMin: '10.3.1.4' }),
  },
  {
    flannel: 'SubnetMax is not on a SubnetLen boundary',
    advice: /expected 10\.3\.2\.0 /,
    fail: pool({ SubnetMax: '10.3.2.9' }),
  },
  {
    flannel: 'Failed to find interface to use that matches the interfaces and/or regexes provided',
    advice: /candidates: eth0 \[10\.0\.0\.1\]/,
    fail: select({ iface: ['eth9'] }),
  },
  { flannel: 'No interface with given IP', advice: /candidates: eth0/, fail: select({ iface: ['10.9.9.9'] }) },
  { flannel: 'found default route but could not determine interface', advice: /candidates: eth0/, fail: select({}) },
  {
    flannel: 'pod cidrs should be IPv4/IPv6 only or dualstack',
    advice: /more than two/,
    fail: () => podSubnets(['10.0.0.0/24', '10.0.1.0/24', '10.0.2.0/24'], conf(v4)),
  },
  {
    flannel: 'pod cidr not assigned',
    advice: /in a family that is enabled/,
    fail: () =>
      leaseOfNode(
        {
          name: 'n',
          uid: '',
          resourceVersion: '',
          creationTimestamp: '',
          annotations: new Map(),
          podCidrs: [],
          addresses: [],
        },
        conf(v4),
      ),
  },
  {
    flannel: `subnet "10.3.0.0/16" specified in the flannel net config doesn't contain "10.4.1.0/24" PodCIDR of the "n" node`,
    advice: /make Network the controller manager's --cluster-cidr/,
    fail: () => {
      throw new Error(findPodCidrProblem('n', { subnet: parsePrefix('10.4.1.0/24') }, conf(v4)));
    },
  },
  {
    flannel: 'node "n" pod cidr not assigned',
    advice: /for IPv4, which the flannel net config enables/,
    fail: () => {
      throw new Error(findPodCidrProblem('n', {}, conf(v4)));
    },
  },
];

describe('the error texts that people search for', () => {
  test.for(rows)('$flannel', ({ fail, ...row }) => {
    let said = '';
    try {
      fail();
    } catch (error) {
      said = errorText(error);
    }
    expectFound(said, row);
  });

  test('node pod cidr not assigned, while the agent waits for it', async () => {
    const fake = await new FakeKube().start();
    onTestFinished(() => fake.stop());
    const site = makeKubeSite(fake.access, v4);
    await site.createNode('a', []);
    const abort = new AbortController();
    const acquiring = (await site.manager('a')).acquire(nodeAttributes(1), abort.signal);
    await expect.poll(() => site.logged.join('\n')).toContain('pod cidr');
    expectFound(site.logged.join('\n'), {
      flannel: `node "${site.nodeName('a')}" pod cidr not assigned`,
      advice: /--allocate-node-cidrs=true and --cluster-cidr \(kubeadm: networking\.podSubnet\)/,
    });
    abort.abort();
    await expect(acquiring).rejects.toThrow();
  });

  test('dial tcp: connection refused', async () => {
    const [port] = await freePorts(1);
    const access = { prepare: () => Promise.resolve({ server: new URL(`http://127.0.0.1:${port}`), options: {} }) };
    const said = await new KubeApi({ access, timeoutMs: 1000, watchIdleMs: 1000 }).getNode('n', never).catch(errorText);
    expectFound(String(said), {
      flannel: `dial tcp 127.0.0.1:${port}: connection refused`,
      advice: /only while kube-proxy does; --kube-api-url names the server itself/,
    });
  });
});
