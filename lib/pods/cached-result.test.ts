import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openKoffiSyscalls } from '../sys/koffi.ts';
import { listCachedResults, parseCachedResult, readCachedResult } from './cached-result.ts';

const netns = '/run/netns/cni-1';

describe('parseCachedResult', () => {
  const interfaces = [
    { name: 'cni0', mac: '0a:58:0a:f4:01:01' },
    { name: 'veth1234', mac: '0A:59:0A:F4:01:02' },
    { name: 'eth0', mac: '0A:58:0A:F4:01:02', sandbox: netns },
  ];
  const ids = { containerId: 'c1', ifName: 'eth0', networkName: 'cbr0' };
  const known = {
    network: 'cbr0',
    containerId: 'c1',
    ifname: 'eth0',
    netns: [netns],
    hostInterfaces: ['cni0', 'veth1234'],
    podMacs: ['0a:58:0a:f4:01:02'],
    ips: ['10.244.1.2', 'fd00::2'],
  };
  const ips = [
    { version: '4', address: '10.244.1.2/24', interface: 2 },
    { version: '6', address: 'FD00::2/64' },
  ];
  const result = { cniVersion: '0.3.1', interfaces, ips };

  test.for([
    { name: 'containerd 2.0', entry: { kind: 'cniCacheV1', ...ids, netns, result } },
    { name: 'containerd 1.6, which writes no netns', entry: { kind: 'cniCacheV1', ...ids, result } },
  ])('tells netns, devices on the node, MACs in the pod and addresses from what $name writes', ({ entry }) => {
    expect(parseCachedResult(JSON.stringify(entry))).toEqual(known);
  });

  test('gives the same, except the owner, from the bare result of libcni before 0.8', () => {
    expect(parseCachedResult(JSON.stringify(result))).toEqual({ ...known, network: '', containerId: '', ifname: '' });
  });

  test('gives every netns that is named', () => {
    const text = JSON.stringify({ netns: '/run/netns/other', result });
    expect(parseCachedResult(text)?.netns).toEqual(['/run/netns/other', netns]);
  });

  const nothing = { network: '', containerId: '', ifname: '', netns: [], hostInterfaces: [], podMacs: [], ips: [] };

  test.for<{ name: string; text: string; want: object }>([
    {
      name: 'a result of 0.2.0',
      text: `{"netns":"${netns}","result":{"ip4":{"ip":"10.0.0.2/24"},"ip6":{"ip":"fd00::3/64"}}}`,
      want: { netns: [netns], ips: ['10.0.0.2', 'fd00::3'] },
    },
    { name: 'no result', text: `{"netns":"${netns}"}`, want: { netns: [netns] } },
    {
      name: 'lists that are none',
      text: `{"netns":"${netns}","result":{"interfaces":{},"ips":7}}`,
      want: { netns: [netns] },
    },
    { name: 'addresses that are none', text: '{"result":{"ips":[{"address":"x"},{"address":7},{}]}}', want: {} },
    { name: 'an empty netns', text: '{"netns":""}', want: {} },
    { name: 'a netns that is no text', text: '{"netns":7}', want: {} },
  ])('tells what is in $name', ({ text, want }) => {
    expect(parseCachedResult(text)).toEqual({ ...nothing, ...want });
  });

  test.for(['[]', 'null'])('gives nothing for %s', (text) => {
    expect(parseCachedResult(text)).toBeUndefined();
  });
});

describe('readCachedResult', () => {
  const sys = openKoffiSyscalls();
  const folder = (): string => {
    const dir = mkdtempSync(join(tmpdir(), 'weft-cache-'));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    writeFileSync(join(dir, 'n1-c1-eth0'), `{"netns":"${netns}"}`);
    return dir;
  };

  test('finds the file that libcni wrote', () => {
    expect(readCachedResult(sys, folder(), 'n1', 'c1', 'eth0')?.netns).toEqual([netns]);
  });

  test('lists all readable results, of every network', () => {
    const dir = folder();
    writeFileSync(join(dir, 'n2-c2-eth0'), '{"networkName":"n2","netns":"/b"}');
    writeFileSync(join(dir, 'n3-c3-eth0'), '{"netns":');
    writeFileSync(join(dir, 'cni-loopback-c1-lo'), '{"networkName":"cni-loopback","netns":"/b"}');
    const found = listCachedResults(sys, dir);
    expect([...found.keys()].sort()).toEqual(['n1-c1-eth0', 'n2-c2-eth0']);
    expect(found.get('n2-c2-eth0')).toMatchObject({ network: 'n2', netns: ['/b'] });
    expect(listCachedResults(sys, join(dir, 'none')).size).toBe(0);
  });

  test('gives nothing for a file that does not exist, cannot be read, or has an incomplete name', () => {
    const dir = folder();
    writeFileSync(join(dir, 'n1-c2-eth0'), '{"netns":');
    symlinkSync('n1-c3-eth0', join(dir, 'n1-c3-eth0'));
    for (const [cid, ifname] of [
      ['c2', 'eth0'],
      ['c3', 'eth0'],
      ['c4', 'eth0'],
      ['c1', ''],
      ['x/../n1-c1', 'eth0'],
    ] as const) {
      expect(readCachedResult(sys, dir, 'n1', cid, ifname)).toBeUndefined();
    }
  });
});
