import { describe, expect, test } from 'vitest';
import { type Family, parseIp } from '../../../lib/ip.ts';
import { parseNetConf } from '../../../lib/net-conf.ts';
import type { Link } from '../../../lib/rtnetlink/link.ts';
import type { OverlayStatus } from '../../health/status/report.ts';
import { tunnelOf } from './tunnel.ts';

const conf = (Backend: object) =>
  parseNetConf(JSON.stringify({ Network: '10.244.0.0/16', EnableIPv6: true, IPv6Network: 'fd00::/48', Backend }))
    .config;
const link = (name: string, kind: string, more: Partial<Link> = {}): Link => ({
  ...{ index: 7, name, kind, flags: 0, mtu: 1400, operState: 0 },
  ...more,
});
const vxlanLink = (vni: number, port: number): Link =>
  link(`flannel.${vni}`, 'vxlan', {
    vxlan: { vni, port, lowerIndex: 2, local: parseIp('192.168.50.11'), learning: false },
  });
const overlay = (device: string, more: Partial<OverlayStatus> = {}): OverlayStatus =>
  ({ device, family: 4, ...more }) as OverlayStatus;

interface Case {
  readonly name: string;
  readonly type: string;
  readonly family?: Family;
  readonly sources: Parameters<typeof tunnelOf>[2];
  readonly want: object;
}

describe('the tunnel of a node', () => {
  test.for<Case>([
    {
      name: 'by the configuration, with its device missing',
      type: 'vxlan',
      sources: { conf: conf({ Type: 'vxlan', VNI: 9, Port: 4789 }), links: [], overlay: undefined },
      want: { device: 'flannel.9', vni: 9, port: 4789, link: undefined },
    },
    {
      name: 'by the device alone',
      type: 'vxlan',
      sources: { conf: undefined, links: [vxlanLink(5, 8472)], overlay: undefined },
      want: { device: 'flannel.5', vni: 5, port: 8472, link: { name: 'flannel.5' } },
    },
    {
      name: 'by the running agent, although the configuration has changed since',
      type: 'vxlan',
      sources: {
        conf: conf({ Type: 'wireguard' }),
        links: [vxlanLink(5, 8472)],
        overlay: overlay('flannel.5', { vni: 5, port: 8472 }),
      },
      want: { device: 'flannel.5', vni: 5, port: 8472 },
    },
    {
      name: 'WireGuard, one device for both families',
      type: 'wireguard',
      family: 6 as const,
      sources: {
        conf: conf({ Type: 'wireguard', Mode: 'auto', ListenPort: 51_900 }),
        links: [link('flannel-wg', 'wireguard')],
        overlay: overlay('flannel-wg-ipv6'),
      },
      want: { device: 'flannel-wg', port: 51_900, hasKeys: true, link: { name: 'flannel-wg' } },
    },
    {
      name: 'WireGuard, a device for each',
      type: 'wireguard',
      family: 6 as const,
      sources: { conf: conf({ Type: 'wireguard' }), links: [], overlay: undefined },
      want: { device: 'flannel-wg-v6', port: 51_821 },
    },
    {
      name: 'IPIP, which has no port',
      type: 'ipip',
      sources: { conf: undefined, links: [link('flannel.ipip', 'ipip')], overlay: undefined },
      want: { device: 'flannel.ipip', overheadBytes: 20, link: { name: 'flannel.ipip' } },
    },
  ])('$name', ({ type, family = 4, sources, want }) => {
    expect(tunnelOf(type, family, sources)).toMatchObject(want);
  });

  test('IPIP has neither port nor VNI, and host-gw no tunnel', () => {
    const sources = { conf: undefined, links: [], overlay: undefined };
    expect(Object.keys(tunnelOf('ipip', 4, sources) ?? {})).not.toEqual(expect.arrayContaining(['port']));
    expect(tunnelOf('host-gw', 4, sources)).toBeUndefined();
    expect(tunnelOf('', 4, sources)).toBeUndefined();
  });
});
