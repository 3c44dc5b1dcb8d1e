import { describe, expect, test } from 'vitest';
import { isJsonObject, type JsonObject, parseJson } from '../../lib/json.ts';
import { rootFields } from '../protocol/fields.ts';
import type { Invocation } from '../protocol/plugin.ts';
import { isKnownConfig, parseBridgeConfig } from './bridge-config.ts';

function object(value: object): JsonObject {
  const parsed = parseJson(JSON.stringify({ name: 'n1', type: 'bridge', ...value }));
  if (!isJsonObject(parsed)) throw new Error('not an object');
  return parsed;
}

function parse(value: object, args = '') {
  const config = object(value);
  // Only what parseBridgeConfig reads.
  return parseBridgeConfig({ config, root: rootFields(config), args } as unknown as Invocation);
}

describe('parseBridgeConfig', () => {
  test('fills in what the Go plugin fills in', () => {
    expect(parse({})).toMatchObject({
      bridge: 'cni0',
      isGateway: false,
      isDefaultGateway: false,
      mtu: undefined,
      hairpin: false,
      ipamType: '',
      mac: undefined,
    });
  });

  test('makes isGateway true when isDefaultGateway is, and accepts keys in upper and lower case', () => {
    expect(parse({ ISDEFAULTGATEWAY: true, Bridge: 'br0', IPAM: { TYPE: 'x' }, mtu: 0 })).toMatchObject({
      isGateway: true,
      bridge: 'br0',
      ipamType: 'x',
      mtu: undefined,
    });
  });

  test.for([
    { name: 'CNI_ARGS', config: {}, args: 'IgnoreUnknown=1;MAC=c2:11:22:33:44:51', want: 'c2:11:22:33:44:51' },
    {
      name: 'args.cni over CNI_ARGS',
      config: { args: { cni: { mac: 'C2:11:22:33:44:52' } } },
      args: 'MAC=c2:11:22:33:44:51',
      want: 'c2:11:22:33:44:52',
    },
    {
      name: 'runtimeConfig over both',
      config: { args: { cni: { mac: 'c2:11:22:33:44:52' } }, runtimeConfig: { mac: 'c2:11:22:33:44:53' } },
      args: 'MAC=c2:11:22:33:44:51',
      want: 'c2:11:22:33:44:53',
    },
  ])('takes the MAC from $name', ({ config, args, want }) => {
    expect(parse(config, args).mac).toBe(want);
  });

  test.for([
    {
      config: { mtu: '1400' },
      want: 'failed to load netconf: json: mtu: expected a whole number, got "1400"',
    },
    {
      config: { isGateway: 1 },
      want: 'failed to load netconf: json: isGateway: expected true or false, got 1',
    },
    {
      config: { ipam: [] },
      want: 'failed to load netconf: json: ipam: expected an object, got []',
    },
    {
      config: { hairpinMode: true, promiscMode: true },
      want: 'cannot set hairpin mode and promiscuous mode at the same time',
    },
    {
      config: { disableContainerInterface: true, ipam: { type: 'x' } },
      want: 'cannot use IPAM when DisableContainerInterface flag is set',
    },
    { config: { ipMasqBackend: 'foo' }, want: 'unknown ipmasq backend "foo"' },
    { config: { runtimeConfig: { mac: 'zz' } }, want: 'failed to make veth pair: address zz: invalid MAC address' },
    { config: { vlan: 5000 }, want: 'invalid VLAN ID 5000 (must be between 0 and 4094)' },
    { config: { vlan: -1 }, want: 'invalid VLAN ID -1 (must be between 0 and 4094)' },
    {
      config: { vlanTrunk: [{ minID: 1 }] },
      want: 'minID and maxID should be configured simultaneously, maxID is missing',
    },
    {
      config: { vlanTrunk: [{ maxID: 1 }] },
      want: 'minID and maxID should be configured simultaneously, minID is missing',
    },
    { config: { vlanTrunk: [{ id: 5000 }] }, want: 'incorrect trunk id parameter' },
    { config: { vlanTrunk: [{ minID: 5000, maxID: 1 }] }, want: 'incorrect trunk minID parameter' },
    { config: { vlanTrunk: [{ minID: 3, maxID: 2 }] }, want: 'minID is greater than maxID in trunk parameter' },
  ])('says $want', ({ config, want }) => {
    expect(() => parse(config)).toThrow(expect.objectContaining({ code: 999, message: want }));
  });

  test('reads the port’s own VLAN, and a trunk of single VLANs and ranges without duplicates', () => {
    const config = parse({
      vlan: 7,
      vlanTrunk: [{ id: 200 }, { minID: 101, maxID: 103 }, { id: 102 }],
      preserveDefaultVlan: true,
    });
    expect(config).toMatchObject({ vlan: 7, trunk: [101, 102, 103, 200], preserveDefaultVlan: true });
    expect(parse({})).toMatchObject({ vlan: 0, trunk: [], preserveDefaultVlan: false });
  });
});

describe('which bridge serves a configuration', () => {
  test.for([
    { config: { hairpinMode: true, Vlan: 0, 'cni.dev/valid-attachments': [] }, want: true },
    { config: { newThing: 1 }, want: false },
  ])('knows every key of $config: $want', ({ config, want }) => {
    expect(isKnownConfig(object(config))).toBe(want);
  });
});
