import { describe, expect, test } from 'vitest';
import { formatPrefix, parsePrefix } from '../../../lib/ip.ts';
import { wantedPodSide } from './want.ts';

const families = [
  { network: parsePrefix('10.244.0.0/16'), subnet: parsePrefix('10.244.1.0/24') },
  { network: parsePrefix('fd00::/48'), subnet: parsePrefix('fd00:0:0:1::/64') },
];

function conflist(plugin: object): string {
  return JSON.stringify({ name: 'cbr0', plugins: [{ type: 'flannel', ...plugin }, { type: 'portmap' }] });
}

describe('wantedPodSide', () => {
  test('has cni0 with the first address of each subnet, as the classic conflist makes it', () => {
    const wanted = wantedPodSide(conflist({ delegate: { hairpinMode: true, isDefaultGateway: true } }), families, 1450);
    expect(wanted?.bridge).toBe('cni0');
    expect(wanted?.gateways.map(formatPrefix)).toEqual(['10.244.1.1/24', 'fd00:0:0:1::1/64']);
    expect(wanted?.mtuBytes).toBe(1450);
  });

  test('takes bridge and MTU of the delegate', () => {
    const wanted = wantedPodSide(conflist({ delegate: { bridge: 'br7', mtu: 1300 } }), families, 1450);
    expect(wanted).toMatchObject({ bridge: 'br7', mtuBytes: 1300 });
  });

  test.for([
    { name: 'of an IPAM of its own', plugin: { ipam: { type: 'dhcp' } } },
    { name: 'that is no gateway', plugin: { delegate: { isGateway: false } } },
    { name: 'whose pods are in a VLAN', plugin: { delegate: { vlan: 7 } } },
    { name: 'with a subnet of its own', plugin: { ipam: { subnet: '10.9.0.0/24' } } },
  ])('has no address for a bridge $name', ({ plugin }) => {
    expect(wantedPodSide(conflist(plugin), families, 1450)?.gateways).toEqual([]);
  });

  test.for([
    { name: 'another plugin as delegate', text: conflist({ delegate: { type: 'macvlan' } }) },
    { name: 'no flannel plugin', text: '{"plugins":[{"type":"bridge"}]}' },
    { name: 'no JSON', text: '{"plugins":' },
    { name: 'plugins that are no list', text: '{"plugins":{}}' },
  ])('is nothing for $name', ({ text }) => {
    expect(wantedPodSide(text, families, 1450)).toBeUndefined();
  });
});
