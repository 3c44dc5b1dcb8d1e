import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../lib/errors.ts';
import type { KeyDoc } from '../../lib/key-doc.ts';
import { parseNetConf } from '../../lib/net-conf.ts';
import { BACKENDS, chooseBackend } from './registry.ts';

const dual = { EnableIPv6: true, IPv6Network: 'fc00::/48' };

function choose(backend?: object | null, isDual = false) {
  const document = { Network: '10.244.0.0/16', ...(isDual && dual), Backend: backend };
  return chooseBackend(parseNetConf(JSON.stringify(document)).config);
}

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('chooseBackend', () => {
  test('chooses vxlan with flannel’s defaults when there is no Backend', () => {
    for (const backend of [undefined, null, { Type: 'vxlan' }]) {
      expect(choose(backend)).toMatchObject({
        type: 'vxlan',
        conf: {
          vni: 1,
          port: 8472,
          mtu: undefined,
          learning: false,
          gbp: false,
          directRouting: false,
          fastPath: 'off',
        },
        warnings: [],
      });
    }
  });

  test('reads every key of vxlan in any case', () => {
    const { type, conf, warnings } = choose({
      type: 'VXLAN',
      vni: 7,
      PORT: 4789,
      mtu: 9000,
      gbp: true,
      learning: true,
      directrouting: true,
      fastpath: 'redirect',
      macprefix: '0E-2A',
      NAME: 'windows',
    });
    expect([type, warnings]).toEqual(['vxlan', []]);
    expect(conf).toEqual({
      vni: 7,
      port: 4789,
      mtu: 9000,
      learning: true,
      gbp: true,
      directRouting: true,
      fastPath: 'redirect',
    });
  });

  test('treats zero as “not set”, as Go does', () => {
    expect(choose({ Type: 'vxlan', Port: 0, MTU: 0 }).conf).toMatchObject({ port: 8472, mtu: undefined });
  });

  test('warns about unknown keys and names the key that was probably meant', () => {
    expect(choose({ Type: 'vxlan', Prot: 1, 'x-team': 1 }).warnings).toEqual([
      'net-conf: Backend.Prot: unknown key, ignored (did you mean Port?)',
      'net-conf: Backend.x-team: unknown key, ignored',
    ]);
  });

  test.for<{ name: string; backend: object; type: string; conf?: object; warnings?: string[] }>([
    { name: 'host-gw', backend: { Type: 'Host-GW' }, type: 'host-gw' },
    {
      name: 'a key that does nothing',
      backend: { Type: 'host-gw', DirectRouting: true },
      type: 'host-gw',
      warnings: ['net-conf: Backend.DirectRouting: unknown key, ignored'],
    },
    { name: 'alloc', backend: { type: 'alloc' }, type: 'alloc' },
    { name: 'udp with flannel’s port', backend: { Type: 'udp' }, type: 'udp', conf: { port: 8285 } },
    { name: 'udp with another port', backend: { Type: 'udp', Port: 7890 }, type: 'udp', conf: { port: 7890 } },
    {
      name: 'extension',
      backend: { Type: 'extension', SubnetAddCommand: '/opt/add $SUBNET', ShutdownCommand: ' ' },
      type: 'extension',
      conf: {
        preStartup: undefined,
        postStartup: undefined,
        subnetAdd: { words: [[{ text: '/opt/add' }], [{ variable: 'SUBNET' }]] },
        subnetRemove: undefined,
        shutdown: undefined,
      },
    },
  ])('reads $name', ({ backend, type, conf, warnings = [] }) => {
    const chosen = choose(backend);
    expect([chosen.type, chosen.conf, chosen.warnings]).toEqual([type, conf, warnings]);
    expect(chosen.make().type).toBe(type);
  });

  test('reads the backend to which a cluster moves', () => {
    const MoveTo = { Type: 'WireGuard', ListenPort: 51_900, PersistentKeepaliveInterval: 10 };
    expect(choose({ Type: 'vxlan', MoveTo }).conf).toMatchObject({
      vni: 1,
      moveTo: { mode: 'separate', listenPort: 51_900, listenPortV6: 51_821, keepaliveSec: 10 },
    });
    expect(choose({ Type: 'vxlan' }).conf).toMatchObject({ moveTo: undefined });
  });

  test.for([
    { MoveTo: 'wireguard', want: 'Backend.MoveTo: expected an object, got "wireguard"' },
    { MoveTo: {}, want: 'Backend.MoveTo.Type: expected "wireguard", got null' },
    { MoveTo: { Type: 'ipip' }, want: 'Backend.MoveTo.Type: expected "wireguard", got "ipip"' },
    { MoveTo: { Type: 'wireguard', Mode: 'auto' }, want: 'Backend.MoveTo.Mode: expected "separate"' },
    { MoveTo: { Type: 'wireguard', PKS: 'x' }, want: 'Backend.MoveTo.PKS: unknown key: expected Type and keys of' },
    { MoveTo: { Type: 'wireguard', ListenPort: 0 }, want: 'Backend.MoveTo.ListenPort: expected integer 1–65535' },
  ])('refuses a move: $want', ({ MoveTo, want }) => {
    expect(() => choose({ Type: 'vxlan', MoveTo })).toThrow(`net-conf: ${want}`);
  });

  const cloud = {
    why: 'it writes into the cloud’s route table, for which each node would need the cloud’s credentials',
    instead: 'vxlan, or alloc when the cloud’s own controller sets the routes',
  };
  test.for([
    {
      type: 'ipsec',
      why: 'it needs strongSwan’s daemon on each node to agree on keys',
      instead: 'wireguard, which encrypts as well',
    },
    { type: 'tencent-vpc', ...cloud },
    { type: 'aws-vpc', ...cloud },
    { type: 'gce', ...cloud },
    { type: 'ali-vpc', ...cloud },
  ])('refuses $type, with the reason and what to use instead', ({ type, why, instead }) => {
    expect(messageOf(() => choose({ Type: type.toUpperCase(), ListenPort: 51820 }))).toBe(
      `net-conf: Backend.Type: Weft has no backend ${type}: ${why}; use ${instead}`,
    );
  });

  // The types that flannel 0.28 registers, and those that it had until 0.20.
  const ofFlannel = ['alloc', 'extension', 'host-gw', 'ipip', 'ipsec', 'tencent-vpc', 'udp', 'vxlan', 'wireguard'];
  test.for([...ofFlannel, 'aws-vpc', 'gce', 'ali-vpc'])('knows flannel’s backend %s', (type) => {
    expect(messageOf(() => choose({ Type: type }))).toMatch(/^accepted$|: Weft has no backend [^ ]+: .+; use /);
  });

  const backends = 'one of vxlan, host-gw, wireguard, ipip, udp, alloc, extension';
  test.for<{ name: string; backend: object; isDual?: boolean; want: string }>([
    {
      name: 'a Backend without Type',
      backend: { VNI: 1 },
      want: `Backend.Type: unknown backend type: expected ${backends}, but the key is missing`,
    },
    {
      name: 'an unknown backend',
      backend: { Type: 'gre' },
      want: `Backend.Type: unknown backend type: "gre", expected ${backends}`,
    },
    {
      name: 'a VNI that is text',
      backend: { Type: 'vxlan', VNI: 'x' },
      want: 'Backend.VNI: expected integer 1–16777215, got "x"',
    },
    {
      name: 'VNI 0',
      backend: { Type: 'vxlan', VNI: 0 },
      want: 'Backend.VNI: expected integer 1–16777215, got 0',
    },
    {
      name: 'a VNI of 25 bits',
      backend: { Type: 'vxlan', VNI: 16777216 },
      want: 'Backend.VNI: expected integer 1–16777215, got 16777216',
    },
    {
      name: 'a port out of range',
      backend: { Type: 'vxlan', Port: 65536 },
      want: 'Backend.Port: expected integer 1–65535 (or 0 for 8472), got 65536',
    },
    {
      name: 'a negative port',
      backend: { Type: 'vxlan', Port: -1 },
      want: 'Backend.Port: expected integer 1–65535 (or 0 for 8472), got -1',
    },
    {
      name: 'an MTU that leaves no room',
      backend: { Type: 'vxlan', MTU: 117 },
      want: "Backend.MTU: expected integer 118–65535 (or 0 for the interface's), got 117",
    },
    {
      name: 'an MTU too small for IPv6',
      backend: { Type: 'vxlan', MTU: 1349 },
      isDual: true,
      want: "Backend.MTU: expected integer 1350–65535 (or 0 for the interface's), got 1349",
    },
    {
      name: 'a fraction',
      backend: { Type: 'vxlan', MTU: 1450.5 },
      want: "Backend.MTU: expected integer 118–65535 (or 0 for the interface's), got 1450.5",
    },
    {
      name: 'shell syntax in a command',
      backend: { Type: 'extension', SubnetAddCommand: 'read ip; ip route add $ip' },
      want:
        'Backend.SubnetAddCommand: expected words without shell syntax, got ";" ' +
        '(no shell runs this: put it into a script and name that)',
    },
    {
      name: 'a mode of WireGuard in another case',
      backend: { Type: 'wireguard', Mode: 'Auto' },
      want: 'Backend.Mode: expected one of separate, auto, ipv4, ipv6, got "Auto"',
    },
    {
      name: 'a keepalive that is text',
      backend: { Type: 'wireguard', PersistentKeepaliveInterval: '25s' },
      want: 'Backend.PersistentKeepaliveInterval: expected integer 0–65535, got "25s"',
    },
    {
      name: 'a text that is no preshared key, without printing it',
      backend: { Type: 'wireguard', PSK: 'c2VjcmV0' },
      want: 'Backend.PSK: expected 32 bytes in base64 (44 characters), got 8 characters',
    },
    {
      name: 'port 0, with which every node would listen at a different port',
      backend: { Type: 'wireguard', ListenPort: 0 },
      want: 'Backend.ListenPort: expected integer 1–65535, got 0',
    },
    {
      name: 'a variable that the command does not have',
      backend: { Type: 'extension', PreStartupCommand: 'echo $SUBNET' },
      want: 'Backend.PreStartupCommand: expected no variable, got $SUBNET',
    },
  ])('refuses $name', ({ backend, isDual, want }) => {
    expect(messageOf(() => choose(backend, isDual))).toBe(`net-conf: ${want}`);
  });
});

/** Every documented key of every backend, with a configuration that contains it. */
const keys = BACKENDS.flatMap(({ type, keys: docs }) =>
  Object.entries<KeyDoc>(docs).map(([key, doc]) => ({
    name: `${type} ${key}`,
    doc,
    read: (value: unknown) => choose({ Type: type, [key]: value }),
  })),
);

describe('the documentation of the keys of a backend', () => {
  test.for(keys.filter(({ doc }) => doc.default !== undefined))('states the default of $name', ({ doc, read }) => {
    const [given, absent] = [read(doc.default), read(undefined)];
    expect([given.conf, given.warnings]).toEqual([absent.conf, []]);
  });

  test.for(keys.filter(({ doc }) => doc.range !== undefined))('states the range of $name', ({ doc, read }) => {
    const [min, max] = doc.range ?? [0, 0];
    for (const value of [min, max]) expect(() => read(value)).not.toThrow();
    for (const value of [min - 1, max + 1]) expect(() => read(value)).toThrow();
  });
});
