// Lets the agent's own reconciler program peers and, in the same rounds, iproute2 with batch files of the same state.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { VXLAN_KINDS, VxlanPlanner, vxlanObjects } from '../../flanneld/backend/vxlan/vxlan-peers.ts';
import type { Mirror } from '../../flanneld/dataplane/mirror.ts';
import type { Device, Place } from '../../flanneld/dataplane/objects/kind.ts';
import { Reconciler } from '../../flanneld/dataplane/reconciler.ts';
import { createLogger } from '../../flanneld/health/log.ts';
import type { Lease } from '../../flanneld/subnet/manager.ts';
import { systemClock } from '../../lib/clock-node.ts';
import { jsonObject } from '../../lib/json.ts';
import { parseMac } from '../../lib/mac.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { rotated } from '../cni/plan.ts';
import { batchText } from './batch.ts';
import { countingNetlink } from './counting.ts';
import { freshDevice, leaseOf, leasesOf, overlayConfig, placeOf } from './overlay.ts';

/** Milliseconds, one value for each round. */
export interface PeerSamples {
  readonly agent: number[];
  readonly batch: number[];
  readonly plainBatch: number[];
  /** A run of the reconciler that finds everything as wanted. */
  readonly compare: number[];
  /** The first round in this process, before the engine has compiled anything, as after the agent's restart. */
  readonly cold: number[];
}

export interface PeerRounds {
  readonly samples: PeerSamples;
  /** What went wrong; empty when nothing did. */
  readonly failures: readonly string[];
}

type Kind = 'agent' | 'batch' | 'plainBatch';
const KINDS: readonly Kind[] = ['agent', 'batch', 'plainBatch'];
const COMPARES = 3;

/** Programs `count` peers in each of the three ways, `rounds` times, each time on a new device. */
export async function measurePeers(
  netlink: Netlink,
  folder: string,
  count: number,
  rounds: number,
  show: (line: string) => void,
): Promise<PeerRounds> {
  const samples: PeerSamples = { agent: [], batch: [], plainBatch: [], compare: [], cold: [] };
  const failures: string[] = [];
  for (let round = -1; round < rounds; round++) {
    show(`${count} peers: round ${round + 1} of ${rounds}`);
    for (const kind of rotated(KINDS, round + 1)) {
      const measured = await measureOne(netlink, folder, count, kind);
      failures.push(...measured.failures);
      // The first round is a warm-up: the engine compiles its code, and iproute2 gets into the page cache.
      if (round < 0) {
        if (kind === 'agent') samples.cold.push(measured.ms);
        continue;
      }
      samples[kind].push(measured.ms);
      samples.compare.push(...measured.compare);
    }
  }
  return { samples, failures };
}

interface One {
  readonly ms: number;
  readonly compare: number[];
  readonly failures: string[];
}

async function measureOne(netlink: Netlink, folder: string, count: number, kind: Kind): Promise<One> {
  const leases = leasesOf(count);
  const device = freshDevice(netlink);
  if (kind !== 'agent') {
    const ms = runBatches(folder, leases, placeOf(netlink, device), kind === 'batch' ? 'nexthops' : 'plain');
    return { ms, compare: [], failures: kind === 'batch' ? await verify(netlink, device, leases) : [] };
  }
  const agent = newAgent(netlink);
  const ms = await timed(() => agent.run(device, leases));
  const failures = agent.reconciler.problems().map(({ key, reason }) => `${key}: ${reason}`);
  const compare: number[] = [];
  for (let again = 0; again < COMPARES; again++) {
    agent.counted.changes = 0;
    compare.push(await timed(() => agent.run(device, leases)));
    if (agent.counted.changes > 0) failures.push(`a run with nothing to do sent ${agent.counted.changes} changes`);
  }
  return { ms, compare, failures };
}

/** A reconciler as the agent has one; its log is formatted and thrown away. */
function newAgent(netlink: Netlink) {
  const { netlink: counting, counted } = countingNetlink(netlink);
  const log = createLogger('info', { write: () => undefined });
  const reconciler = new Reconciler(
    { kinds: VXLAN_KINDS, objects: vxlanObjects },
    { netlink: counting, log, clock: systemClock },
  );
  const planner = new VxlanPlanner(overlayConfig, undefined);
  /** One run of the reconciler. It gets no kernel events here, so each run begins with a list of everything. */
  const run = (device: Device, leases: ReadonlyMap<string, Lease>): Promise<unknown> => {
    const place = placeOf(netlink, device);
    const plan = (mirror: Mirror) => planner.plan({ leases, problems: [] }, { mirror, place, isRerouted: false });
    return reconciler.run({ place, plan });
  };
  return { reconciler, run, counted };
}

async function timed(body: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await body();
  return performance.now() - start;
}

/** Times the two programs, run one after the other, including their start. */
function runBatches(
  folder: string,
  leases: ReadonlyMap<string, Lease>,
  place: Place,
  routes: 'nexthops' | 'plain',
): number {
  const text = batchText(leases, place, routes);
  const [ip, bridge] = [join(folder, 'ip.batch'), join(folder, 'bridge.batch')];
  writeFileSync(ip, text.ip);
  writeFileSync(bridge, text.bridge);
  const start = performance.now();
  for (const [program, file] of [
    ['ip', ip],
    ['bridge', bridge],
  ] as const) {
    const { status, stderr, error } = spawnSync(program, ['-batch', file], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${program} -batch: ${error?.message ?? stderr.split('\n')[0]}`);
  }
  return performance.now() - start;
}

/** Checks that the reconciler finds nothing to do after iproute2 has programmed the peers. */
async function verify(netlink: Netlink, device: Device, leases: ReadonlyMap<string, Lease>): Promise<string[]> {
  const { run, counted } = newAgent(netlink);
  await run(device, leases);
  return counted.changes === 0 ? [] : [`iproute2 left another state: ${counted.changes} changes were needed`];
}

/** The number of netlink messages for one change among `count` peers, by kind of change. */
export async function countChanges(netlink: Netlink, count: number): Promise<Record<string, number>> {
  const device = freshDevice(netlink);
  const { run, counted } = newAgent(netlink);
  const before = leasesOf(count);
  const [key, lease] = leaseOf(Math.ceil(count / 2));
  const [, other] = leaseOf(count + 1);
  const moved: Lease = { ...lease, ...(other.publicIp && { publicIp: other.publicIp }) };
  const newMac: Lease = { ...lease, backendData: jsonObject({ VNI: 1, VtepMAC: parseMac('0e:57:01:00:00:01') }) };
  const [newKey] = leaseOf(count + 1);
  const found: Record<string, number> = {};
  for (const [name, leases] of [
    ['a peer at another address', new Map(before).set(key, moved)],
    ['a peer with another MAC', new Map(before).set(key, newMac)],
    ['a new peer', new Map(before).set(newKey, other)],
    ['a peer that left', new Map([...before].filter(([each]) => each !== key))],
  ] as const) {
    await run(device, before);
    counted.changes = 0;
    await run(device, leases);
    found[name] = counted.changes;
  }
  return found;
}
