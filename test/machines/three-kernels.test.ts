// A cluster of three machines, each with another stock kernel, that share an etcd: which pods reach which, a machine that loses its power,
// one that is upgraded, and one that runs flannel's agent. Each test continues where the one before it ended.

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { debianKernel, KERNELS } from '../../scripts/kernels/debian-kernel.mjs';
import { startSwitch } from '../../scripts/kernels/switch.mjs';
import { findFlanneld } from '../cluster/interop/programs.ts';
import { type EtcdSite, makeEtcdSite } from '../cluster/stores/etcd-site.ts';
import { builtAgent, requireBuilt } from '../lab/programs.ts';
import { type EtcdCluster, startEtcd } from '../support/etcd.ts';
import { needs } from '../support/needs.ts';
import { slowed } from '../support/slowness.ts';
import { endAll, HOST, Machine } from './machine.ts';

const REACH_MS = 60_000;
const previous = process.env['WEFT_PREVIOUS'] ?? '';
const flanneld = findFlanneld();

describe.each([
  { type: 'vxlan', isInPrevious: true },
  { type: 'wireguard', isInPrevious: false },
])('three machines with the backend $type', ({ type, isInPrevious }) => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-machines-'));
  let etcd: EtcdCluster;
  let site: EtcdSite;
  let flags: string[];
  let endSwitch: () => Promise<void>;
  let machines: Machine[] = [];

  beforeAll(async () => {
    requireBuilt(builtAgent);
    etcd = await startEtcd({ members: 1 });
    // flannel 0.28 uses nftables only when it is told to, and Debian's kernels support both.
    site = await makeEtcdSite(etcd, { Network: '10.244.0.0/16', EnableNFTables: true, Backend: { Type: type } });
    flags = [`--etcd-endpoints=http://${HOST}:${etcd.endpoints[0]?.port}`, `--etcd-prefix=${site.prefix}`];
    const socket = join(folder, 'switch');
    endSwitch = await startSwitch(socket);
    const kernels = await Promise.all(KERNELS.map(debianKernel));
    machines = kernels.map((kernel, at) => new Machine(at + 1, kernel, socket));
    await Promise.all(machines.map((machine) => machine.boot()));
    await Promise.all(machines.map((machine) => machine.startAgent(builtAgent, flags)));
    for (const machine of machines) await machine.addPod();
  });
  afterAll(async () => {
    await endAll(machines, folder);
    await endSwitch?.();
    await etcd?.stop();
  });

  /** The pairs of machines whose pods do not reach each other. */
  async function unreached(): Promise<string[]> {
    const pairs = machines.flatMap((from) => machines.filter((to) => to !== from).map((to) => ({ from, to })));
    const lost: string[] = [];
    for (const { from, to } of pairs) {
      if (from.podIp === undefined || to.podIp === undefined || (await from.reaches(to.podIp))) continue;
      lost.push(`${from.name} → ${to.name}`);
    }
    return lost;
  }

  async function untilAllReach(): Promise<void> {
    const end = performance.now() + slowed(REACH_MS);
    let lost = await unreached();
    while (lost.length > 0 && performance.now() < end) lost = await unreached();
    expect(lost).toEqual([]);
  }

  test('run three kernels, and every pod reaches every other', async () => {
    const releases = await Promise.all(machines.map(async (machine) => (await machine.run('uname -r')).trim()));
    expect(releases).toEqual(machines.map(({ kernel }) => kernel.release));
    expect(new Set(releases).size).toBe(KERNELS.length);
    await untilAllReach();
    const device = type === 'vxlan' ? 'flannel.1' : 'flannel-wg';
    for (const machine of machines) {
      const sent = await machine.run(`cat /sys/class/net/${device}/statistics/tx_packets`);
      expect(Number(sent)).toBeGreaterThan(0);
    }
  });

  test('one loses its power: the others go on, and it is reached again when it is back', async () => {
    const [, two] = machines;
    if (two === undefined) throw new Error('a machine is missing');
    const subnet = await two.run('cat /run/flannel/subnet.env');
    await two.cut();
    expect(await unreached()).toEqual([]);
    await two.boot();
    await two.startAgent(builtAgent, flags);
    await two.addPod();
    expect(await two.run('cat /run/flannel/subnet.env')).toBe(subnet);
    await untilAllReach();
  });

  if (isInPrevious)
    test('one that runs the previous release is upgraded', async () => {
      needs.setUp(previous !== '', 'WEFT_PREVIOUS, which the suite sets');
      const [, , three] = machines;
      await three?.stopAgent();
      await three?.startAgent(join(previous, 'flanneld'), flags);
      await untilAllReach();
      await three?.stopAgent();
      expect(await unreached()).toEqual([]);
      await three?.startAgent(builtAgent, flags);
      await untilAllReach();
    });

  test('one runs flannel’s agent, and ours again', async () => {
    needs.machine(flanneld !== undefined, 'flannel’s flanneld (in KUBEBUILDER_ASSETS, then on PATH)');
    const [one] = machines;
    await one?.stopAgent();
    await one?.startAgent(flanneld ?? '', flags);
    await untilAllReach();
    await one?.stopAgent();
    await one?.startAgent(builtAgent, flags);
    await untilAllReach();
  });

  test('control: without its tunnel a machine is not reached', async () => {
    const [one, two] = machines;
    await one?.stopAgent();
    await one?.run('ip link set eth0 down');
    expect(await two?.reaches(one?.podIp ?? '')).toBe(false);
  });
});
