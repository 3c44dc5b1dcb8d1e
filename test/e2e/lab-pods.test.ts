// The CNI executable attaches pods on nodes whose VXLAN is programmed by hand. This tests the lab and the plugins without an agent.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PluginRun } from '../lab/cni/invoke.ts';
import { CNI_CACHE_FOLDER } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { answered, failed } from '../lab/matrix.ts';
import { makeMeshByHand } from '../lab/support/by-hand.ts';

let lab: Lab;

beforeAll(async () => {
  lab = await startLab({ nodes: 3, agent: false });
  await makeMeshByHand(lab.nodes);
  for (const node of lab.nodes) {
    await node.addPod();
    await node.addPod();
  }
});
afterAll(() => lab?.down());

/** The time from the start of the first plugin to the end of the last. */
function spannedMs(runs: readonly PluginRun[]): number {
  const [first, last] = [runs[0], runs.at(-1)];
  if (first === undefined || last === undefined) throw new Error('no plugin was run');
  return (last.endNs - first.startNs) / 1e6;
}

describe('six pods on three nodes', () => {
  test('have addresses of their node’s subnet, and times of every plugin', () => {
    expect(lab.pods.map(({ name, ip }) => `${name} ${ip}`)).toEqual([
      'pod-1-1 10.244.1.2',
      'pod-1-2 10.244.1.3',
      'pod-2-1 10.244.2.2',
      'pod-2-2 10.244.2.3',
      'pod-3-1 10.244.3.2',
      'pod-3-2 10.244.3.3',
    ]);
    for (const { timings, result } of lab.pods) {
      expect(timings.runs.map(({ type, command, exitCode }) => [type, command, exitCode])).toEqual([
        ['flannel', 'ADD', 0],
        ['portmap', 'ADD', 0],
      ]);
      expect(timings.addMs).toBeCloseTo(spannedMs(timings.runs), 3);
      expect(result['cniVersion']).toBe('0.3.1');
    }
  });

  test('all reach each other: 30 ordered pairs', async () => {
    const pairs = await lab.matrix();
    expect(pairs).toHaveLength(30);
    expect(failed(pairs)).toEqual([]);
  });

  test('are reached from every node and reach every node', async () => {
    const ips = lab.pods.map(({ ip }) => ip);
    for (const node of lab.nodes) {
      expect(answered(await node.ping(ips))).toHaveLength(6);
      for (const pod of lab.pods) expect(await pod.ping([node.address])).toMatchObject([{ rttMs: expect.any(Number) }]);
    }
  });

  test('pass 1422 bytes without fragmenting over a 1500-byte underlay, and are told at 1423', async () => {
    const [from, to] = [lab.node('node-1').pod('pod-1-1'), lab.node('node-2').pod('pod-2-1')];
    const whole = { dontFragment: true };
    // 1450 = 1422 + 8 ICMP + 20 IPv4
    expect(await from.ping([to.ip], { ...whole, payloadBytes: 1422 })).toMatchObject([{ rttMs: expect.any(Number) }]);
    expect(await from.ping([to.ip], { ...whole, payloadBytes: 1423 })).toEqual([
      { ip: to.ip, failure: 'message too long (EMSGSIZE)' },
    ]);
    expect(await from.ping([to.ip], { payloadBytes: 4000 })).toMatchObject([{ rttMs: expect.any(Number) }]);
  });

  test('lose exactly the pairs of a peer whose FDB entry was removed (control)', async () => {
    const fdb = ['dev', 'flannel.1', 'dst', lab.node('node-3').address, 'self', 'permanent'];
    await lab.node('node-1').run(['bridge', 'fdb', 'delete', '02:00:00:00:01:03', ...fdb]);
    const pairs = await lab.matrix({ timeoutMs: 300 });
    const lost = failed(pairs).map(({ from, to }) => `${from} ${to}`);
    const between = ['pod-1-1', 'pod-1-2'].flatMap((one) =>
      ['pod-3-1', 'pod-3-2'].flatMap((three) => [`${one} ${three}`, `${three} ${one}`]),
    );
    expect(lost.toSorted()).toEqual(between.toSorted());
    await lab.node('node-1').run(['bridge', 'fdb', 'replace', '02:00:00:00:01:03', ...fdb]);
    expect(answered(await lab.matrix())).toHaveLength(30);
  });
});

describe('a pod', () => {
  test('is detached: its address is free, its namespace and its cached result are gone', async () => {
    const node = lab.node('node-1');
    const pod = await node.addPod();
    const { netnsFromOutside, containerId, ip } = pod;
    expect(existsSync(netnsFromOutside)).toBe(true);
    const { runs, delMs } = await pod.remove();
    expect(runs.map(({ type, command }) => `${type} ${command}`)).toEqual(['portmap DEL', 'flannel DEL']);
    expect(delMs).toBeCloseTo(spannedMs(runs), 3);
    expect(existsSync(netnsFromOutside)).toBe(false);
    const cached = join(CNI_CACHE_FOLDER, 'results', `cbr0-${containerId}-eth0`);
    expect(existsSync(node.pathFromOutside(cached))).toBe(false);
    expect(existsSync(node.pathFromOutside(join(CNI_CACHE_FOLDER, 'networks/cbr0', ip)))).toBe(false);
    expect(node.pods.map(({ name }) => name)).toEqual(['pod-1-1', 'pod-1-2']);
    await expect(node.removePod('pod-1-9')).rejects.toThrow('lab: delete pod pod-1-9: ENOENT');
  });

  test('that cannot be attached gets the plugin’s error, and nothing of it is left', async () => {
    const node = lab.node('node-2');
    const env = node.readFile('/run/flannel/subnet.env');
    await node.run(['rm', '/run/flannel/subnet.env']);
    const names = (): Promise<string> => node.run(['sh', '-c', 'ls /run/netns /var/lib/cni/results']);
    const before = await names();
    await expect(node.addPod()).rejects.toThrow(/plugin type="flannel" failed \(add\): .*subnet\.env/);
    expect(await names()).toBe(before);
    node.writeFile('/run/flannel/subnet.env', env);
    const pod = await node.addPod();
    expect(await pod.ping([lab.node('node-1').pod('pod-1-1').ip])).toMatchObject([{ rttMs: expect.any(Number) }]);
    await pod.remove();
  });

  test('comes and goes with many others at once', async () => {
    const node = lab.node('node-1');
    const pods = await Promise.all(Array.from({ length: 16 }, () => node.addPod()));
    expect(new Set(pods.map(({ ip }) => ip)).size).toBe(16);
    expect(new Set(pods.map(({ name }) => name)).size).toBe(16);
    const other = lab.node('node-3').pod('pod-3-1');
    expect(failed(await other.ping(pods.map(({ ip }) => ip)))).toEqual([]);
    await Promise.all(pods.map((pod) => pod.remove()));
    expect(node.pods).toHaveLength(2);
    const left = await node.run(['sh', '-c', 'ls /run/netns | wc -l; ls /sys/class/net | grep -c veth']);
    expect(left).toBe('2\n2\n');
  });

  test('has lo up and a namespace that ip(8) knows, and the runner is back in its node’s own namespace', async () => {
    const node = lab.node('node-1');
    const name = node.pod('pod-1-1').netns.replace('/run/netns/', '');
    expect(await node.run(['ip', 'netns', 'exec', name, 'ip', '-br', 'address', 'show', 'lo'])).toContain(
      '127.0.0.1/8',
    );
    expect((await node.run(['readlink', '/proc/1/ns/net'])).trim()).toBe(
      (await node.run(['readlink', '/proc/2/task/2/ns/net'])).trim(),
    );
  });

  test('runs programs in its own network', async () => {
    const { stdout } = await lab.node('node-1').pod('pod-1-1').exec(['ip', '-br', 'address', 'show', 'dev', 'eth0']);
    expect(stdout).toContain('10.244.1.2/24');
  });
});
