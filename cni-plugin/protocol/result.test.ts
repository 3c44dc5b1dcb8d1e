import { describe, expect, test } from 'vitest';
import { parseIp, parsePrefix } from '../../lib/ip.ts';
import { isJsonObject, type JsonObject, parseJson } from '../../lib/json.ts';
import { checkConvertible, emptyDns, type Result, renderResult } from './result.ts';
import { parsePrevResult, parseResult } from './result-parse.ts';

const whole: Result = {
  interfaces: [
    { name: 'cni0', mac: '0a:00:00:00:00:01' },
    { name: 'veth1', mac: '0a:00:00:00:00:02' },
    { name: 'eth0', mac: '0a:00:00:00:00:03', mtuBytes: 1450, sandbox: '/run/netns/<a&b>' },
  ],
  ips: [
    { address: parsePrefix('10.1.2.3/24'), gateway: parseIp('10.1.2.1'), interface: 2 },
    { address: parsePrefix('fd00::3/64'), interface: 0 },
    { address: parsePrefix('10.9.9.9/16') },
  ],
  routes: [
    {
      dst: parsePrefix('10.0.0.0/8'),
      gw: parseIp('10.1.2.1'),
      mtuBytes: 1400,
      advmss: 1360,
      priority: 77,
      table: 5000,
      scope: 0,
    },
    { dst: parsePrefix('::/0') },
  ],
  dns: { nameservers: ['10.0.0.10'], domain: 'a', search: ['b', 'c'], options: ['ndots:5'] },
};

const nothing: Result = { interfaces: [], ips: [], routes: [], dns: emptyDns() };

function object(text: string): JsonObject {
  const value = parseJson(text);
  if (!isJsonObject(value)) throw new Error('not an object');
  return value;
}

describe('renderResult', () => {
  test('writes 1.1.0 with sorted keys and every field', () => {
    expect(renderResult(whole, '1.1.0')).toBe(`{
    "cniVersion": "1.1.0",
    "dns": {
        "domain": "a",
        "nameservers": [
            "10.0.0.10"
        ],
        "options": [
            "ndots:5"
        ],
        "search": [
            "b",
            "c"
        ]
    },
    "interfaces": [
        {
            "mac": "0a:00:00:00:00:01",
            "name": "cni0"
        },
        {
            "mac": "0a:00:00:00:00:02",
            "name": "veth1"
        },
        {
            "mac": "0a:00:00:00:00:03",
            "mtu": 1450,
            "name": "eth0",
            "sandbox": "/run/netns/\\u003ca\\u0026b\\u003e"
        }
    ],
    "ips": [
        {
            "address": "10.1.2.3/24",
            "gateway": "10.1.2.1",
            "interface": 2
        },
        {
            "address": "fd00::3/64",
            "interface": 0
        },
        {
            "address": "10.9.9.9/16"
        }
    ],
    "routes": [
        {
            "advmss": 1360,
            "dst": "10.0.0.0/8",
            "gw": "10.1.2.1",
            "mtu": 1400,
            "priority": 77,
            "scope": 0,
            "table": 5000
        },
        {
            "dst": "::/0"
        }
    ]
}`);
  });

  test('writes 0.3.1 in the order of Go’s struct, with the family and without fields of later versions', () => {
    const text = renderResult(whole, '0.3.1');
    expect(Object.keys(JSON.parse(text))).toEqual(['cniVersion', 'interfaces', 'ips', 'routes', 'dns']);
    expect(JSON.parse(text)).toEqual({
      cniVersion: '0.3.1',
      interfaces: [
        { name: 'cni0', mac: '0a:00:00:00:00:01' },
        { name: 'veth1', mac: '0a:00:00:00:00:02' },
        { name: 'eth0', mac: '0a:00:00:00:00:03', sandbox: '/run/netns/<a&b>' },
      ],
      ips: [
        { version: '4', interface: 2, address: '10.1.2.3/24', gateway: '10.1.2.1' },
        { version: '6', interface: 0, address: 'fd00::3/64' },
        { version: '4', address: '10.9.9.9/16' },
      ],
      routes: [{ dst: '10.0.0.0/8', gw: '10.1.2.1' }, { dst: '::/0' }],
      dns: { nameservers: ['10.0.0.10'], domain: 'a', search: ['b', 'c'], options: ['ndots:5'] },
    });
  });

  test('writes 0.2.0 with the first address of each family and its routes', () => {
    expect(JSON.parse(renderResult(whole, '0.2.0'))).toEqual({
      cniVersion: '0.2.0',
      ip4: { ip: '10.1.2.3/24', gateway: '10.1.2.1', routes: [{ dst: '10.0.0.0/8', gw: '10.1.2.1' }] },
      ip6: { ip: 'fd00::3/64', routes: [{ dst: '::/0' }] },
      dns: { nameservers: ['10.0.0.10'], domain: 'a', search: ['b', 'c'], options: ['ndots:5'] },
    });
  });

  test.for([
    { version: '0.4.0', want: '{\n    "cniVersion": "0.4.0",\n    "dns": {}\n}' },
    { version: '1.0.0', want: '{\n    "cniVersion": "1.0.0"\n}' },
  ])('leaves out empty fields in $version', ({ version, want }) => {
    expect(renderResult(nothing, version)).toBe(want);
  });

  test.for(['0.1.0', '0.2.0'])('refuses to write a result without an address in %s', (version) => {
    expect(() => renderResult(nothing, version)).toThrow('cannot convert: no valid IP addresses');
    expect(() => checkConvertible(version, false)).toThrow('cannot convert: no valid IP addresses');
    checkConvertible(version, true);
    checkConvertible('0.3.0', false);
  });

  test('names an unknown version in the error', () => {
    expect(() => renderResult(whole, '0.5.0')).toThrow('no result has the form of version "0.5.0"');
  });
});

describe('parseResult', () => {
  test.for(['1.0.0', '1.1.0'])('reads back every field that %s has', (version) => {
    expect(renderResult(parseResult(object(renderResult(whole, version)), version), version)).toBe(
      renderResult(whole, version),
    );
  });

  test.for(['0.3.0', '0.3.1', '0.4.0', '0.2.0', '0.1.0'])('reads back every field that %s has', (version) => {
    const text = renderResult(whole, version);
    expect(renderResult(parseResult(object(text), '1.0.0'), version)).toBe(text);
  });

  test('lifts 0.2.0 routes to the top and gives them the gateway of their address', () => {
    const text =
      '{"ip4":{"ip":"10.1.2.3/24","gateway":"10.1.2.1","routes":[{"dst":"0.0.0.0/0"},{"dst":"10.0.0.0/8","gw":"10.1.2.9"}]}}';
    expect(JSON.parse(renderResult(parseResult(object(text), '0.2.0'), '1.0.0'))).toEqual({
      cniVersion: '1.0.0',
      ips: [{ address: '10.1.2.3/24', gateway: '10.1.2.1' }],
      routes: [
        { dst: '0.0.0.0/0', gw: '10.1.2.1' },
        { dst: '10.0.0.0/8', gw: '10.1.2.9' },
      ],
    });
  });

  test('reads keys in any case', () => {
    const text = '{"CNIVersion":"1.0.0","IPs":[{"Address":"10.1.2.3/24","Interface":0}]}';
    expect(parseResult(object(text), '0.1.0').ips).toMatchObject([{ interface: 0 }]);
  });
});

describe('parsePrevResult', () => {
  test('accepts every version of the configuration’s family', () => {
    expect(parsePrevResult(object('{"cniVersion":"1.1.0"}'), '1.0.0').ips).toEqual([]);
    expect(parsePrevResult(object('{}'), '0.4.0').ips).toEqual([]);
  });

  test('refuses another family', () => {
    expect(() => parsePrevResult(object('{"cniVersion":"0.4.0"}'), '1.0.0')).toThrow(
      'could not parse prevResult: result type supports [1.0.0 1.1.0] but unmarshalled CNIVersion is "0.4.0"',
    );
  });

  test('names what is wrong inside of prevResult', () => {
    expect(() => parsePrevResult(object('{"ips":[{"address":"foo"}]}'), '1.0.0')).toThrow(
      'could not parse prevResult: invalid CIDR address: foo',
    );
  });
});
