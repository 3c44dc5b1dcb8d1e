import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openKoffiSyscalls } from '../sys/koffi.ts';
import { parseCachedResult, readCachedResult } from './cached-result.ts';

const netns = '/run/netns/cni-1';

describe('parseCachedResult', () => {
  test('tells the netns, the devices on the node and the MACs in the pod', () => {
    const interfaces = [
      { name: 'cni0', mac: '0a:58:0a:f4:01:01' },
      { name: 'veth1234', mac: '0A:59:0A:F4:01:02' },
      { name: 'eth0', mac: '0A:58:0A:F4:01:02', sandbox: netns },
    ];
    const text = JSON.stringify({ kind: 'cniCacheV1', netns, result: { cniVersion: '0.3.1', interfaces } });
    expect(parseCachedResult(text)).toEqual({
      netns,
      hostInterfaces: ['cni0', 'veth1234'],
      podMacs: ['0a:58:0a:f4:01:02'],
    });
  });

  test.for([
    { name: 'a result of 0.2.0', text: `{"netns":"${netns}","result":{"ip4":{"ip":"10.0.0.2/24"}}}` },
    { name: 'no result', text: `{"netns":"${netns}"}` },
    { name: 'interfaces that are no list', text: `{"netns":"${netns}","result":{"interfaces":{}}}` },
  ])('tells the netns of $name', ({ text }) => {
    expect(parseCachedResult(text)).toEqual({ netns, hostInterfaces: [], podMacs: [] });
  });

  test.for(['{}', '{"netns":""}', '{"netns":7}', '[]', 'null'])('knows nothing from %s', (text) => {
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

  test('finds the file libcni wrote', () => {
    expect(readCachedResult(sys, folder(), 'n1', 'c1', 'eth0')?.netns).toBe(netns);
  });

  test('knows nothing of what is not there, cannot be read, or has no whole name', () => {
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
