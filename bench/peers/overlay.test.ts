import { describe, expect, test } from 'vitest';
import { chooseBackend } from '../../flanneld/backend/registry.ts';
import { desired } from '../../flanneld/backend/vxlan/desired.ts';
import { formatPrefix } from '../../lib/ip.ts';
import { parseNetConf } from '../../lib/net-conf.ts';
import { batchText } from './batch.ts';
import { leasesOf, netConf, overlayConfig } from './overlay.ts';

const tunnel = { index: 5, name: 'flannel.1' };
const place = { family: 4 as const, network: overlayConfig.network, tunnel, underlay: { index: 2, name: 'eth0' } };

describe('synthetic peers', () => {
  const wanted = desired(leasesOf(5000), { ...overlayConfig, foreignNexthopIds: new Set() });

  test('are all valid peers of the overlay', () => {
    expect(wanted.problems).toEqual([]);
    expect(wanted.peers).toHaveLength(5000);
    expect(wanted.peers.every(({ hasFdb }) => hasFdb)).toBe(true);
  });

  test('leave room for one more', () => {
    expect(desired(leasesOf(5001), { ...overlayConfig, foreignNexthopIds: new Set() }).problems).toEqual([]);
  });

  test('live in the network the agent is configured with', () => {
    const { config } = parseNetConf(netConf);
    expect(config.network && formatPrefix(config.network)).toBe(formatPrefix(overlayConfig.network));
    expect(chooseBackend(config)).toMatchObject({ type: 'vxlan', conf: { vni: overlayConfig.vni, port: 8472 } });
  });
});

describe('batchText', () => {
  test.for([
    {
      name: 'through nexthop objects',
      routes: 'nexthops' as const,
      want: [
        'neigh replace 10.64.2.0 lladdr 0e:57:00:00:00:01 dev flannel.1 nud permanent',
        'nexthop add id 1474297858 via 10.64.2.0 dev flannel.1 onlink proto 138',
        'route replace 10.64.2.0/24 nhid 1474297858 proto 138',
      ],
    },
    {
      name: 'plainly, as flannel does',
      routes: 'plain' as const,
      want: [
        'neigh replace 10.64.2.0 lladdr 0e:57:00:00:00:01 dev flannel.1 nud permanent',
        'route replace 10.64.2.0/24 via 10.64.2.0 dev flannel.1 onlink proto 138',
      ],
    },
  ])('routes $name', ({ routes, want }) => {
    const { ip, bridge } = batchText(leasesOf(1), place, routes);
    expect(ip.trimEnd().split('\n')).toEqual(want);
    expect(bridge).toBe('fdb replace 0e:57:00:00:00:01 dev flannel.1 dst 172.16.0.2 self permanent\n');
  });

  test('has four lines for each peer', () => {
    const { ip, bridge } = batchText(leasesOf(100), place, 'nexthops');
    expect([ip, bridge].map((text) => text.trimEnd().split('\n').length)).toEqual([300, 100]);
  });
});
