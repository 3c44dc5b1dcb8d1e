// A model of a node and its pods. The files, the kernel and the runtime show only a part of the model, so that the conclusions of
// lib/pods/survey.ts can be compared with the truth.

import fc from 'fast-check';
import { parseIp } from '../../lib/ip.ts';
import { type CachedResult, cachedResultName } from '../../lib/pods/cached-result.ts';
import { hostMac, hostVethName, podMac } from '../../lib/pods/names.ts';
import type { Pin, Port } from '../../lib/pods/node-view.ts';
import type { Traces } from '../../lib/pods/signs-of-life.ts';
import { type Holder, judgeAll, type Seen, type SurveyScope } from '../../lib/pods/survey.ts';
import type { NetnsState, Verdict } from '../../lib/pods/verdict.ts';
import { NUD_REACHABLE } from '../../lib/rtnetlink/rtnetlink-constants.ts';

/** One attachment: its true state, and the evidence of it. */
export interface Pod {
  readonly maker: 'weft' | 'reference';
  /**
   * `adding`: an ADD has reserved an address and has made no port yet. `adding without a lock`: an ADD of an earlier version of
   * Weft in the same state.
   */
  readonly life: 'live' | 'dead' | 'adding' | 'adding without a lock';
  /**
   * What keeps the netns alive: the runtime's mount, another program's mount, or only processes (because the mount was lost or was
   * never made).
   */
  readonly held: 'pinned' | 'pinned elsewhere' | 'by processes' | 'by processes, pin removed';
  /** What the runtime's cache contains; before containerd 2.0 there is no netns, before CNI 0.3.0 there are no interfaces. */
  readonly cache: 'nothing' | 'addresses' | 'addresses and netns' | 'sandbox' | 'all';
  /** The owner in its address file: a stranger if the folder came from another node, nobody if the content was lost. */
  readonly file: 'its own' | 'its container' | 'nobody' | 'a stranger' | 'a stranger whose netns is gone' | 'none';
  readonly saved: 'none' | 'ours' | 'flannel’s';
  readonly port: 'on the bridge' | 'on no bridge';
  readonly voice: 'silent' | 'heard' | 'neighbour';
}

export interface World {
  readonly pods: readonly Pod[];
  /** What else the node has. */
  readonly furniture: readonly ('uplink' | 'docker' | 'other network' | 'named netns' | 'stranger’s port')[];
  readonly sees: 'the runtime’s mounts' | 'no mounts of the runtime';
  /** Whether the delegate is bridge: pods have ports. */
  readonly isBridged: boolean;
}

const ipOf = (at: number): string => `10.244.1.${at + 2}`;
const NETNS = '/run/netns/cni-';

function idOf(at: number): { containerId: string; ifname: string } {
  return { containerId: `pod${at}`, ifname: 'eth0' };
}

export function hasNetns({ life }: Pod): boolean {
  return life !== 'dead';
}

function portName(pod: Pod, at: number): string {
  return pod.maker === 'weft' ? hostVethName(`pod${at}`, 'eth0') : `veth${(0xabcd0000 + at).toString(16)}`;
}

/** The netns path that the runtime passed to the plugin. */
function pathOf({ held }: Pod, at: number): string {
  return held === 'pinned' || held === 'by processes, pin removed' ? `${NETNS}${at}` : `/proc/${100 + at}/ns/net`;
}

function cachedOf(pod: Pod, at: number): CachedResult | undefined {
  // A runtime writes its cache only after the ADD.
  if (pod.cache === 'nothing' || pod.life.startsWith('adding')) return undefined;
  const has = { interfaces: ['sandbox', 'all'].includes(pod.cache), netns: pod.cache !== 'addresses' };
  return {
    network: 'cbr0',
    ...idOf(at),
    netns: has.netns ? [pathOf(pod, at)] : [],
    hostInterfaces: has.interfaces ? ['cni0', portName(pod, at)] : [],
    podMacs: has.interfaces ? [`02:00:00:00:00:${(16 + at).toString(16)}`] : [],
    ips: [ipOf(at)],
  };
}

function portsOf({ pods, furniture }: World): Port[] {
  const pods_ = pods.flatMap((pod, at): Port[] => {
    if (pod.life !== 'live') return [];
    const mac = pod.maker === 'weft' ? hostMac(parseIp(ipOf(at))) : `06:00:00:00:00:${(16 + at).toString(16)}`;
    const isOnBridge = pod.port === 'on the bridge';
    return [{ name: portName(pod, at), mac, netnsId: at, isOnBridge, mayBePods: true }];
  });
  const other = (name: string, netnsId: number, mayBePods = false): Port => {
    return { name, mac: undefined, netnsId, isOnBridge: mayBePods, mayBePods };
  };
  return [
    ...pods_,
    ...(furniture.includes('uplink') ? [other('eth0', 90)] : []),
    ...(furniture.includes('docker') ? [other('veth12ab34c', 91)] : []),
    ...(furniture.includes('other network') ? [other('veth01234567', 92)] : []),
    ...(furniture.includes('stranger’s port') ? [other('tap7', 93, true)] : []),
  ];
}

function pinsOf({ pods, furniture, sees }: World): Pin[] {
  if (sees === 'no mounts of the runtime') return [];
  const pods_ = pods.flatMap((pod, at): Pin[] => {
    if (!hasNetns(pod) || pod.held.startsWith('by processes')) return [];
    const path = pod.held === 'pinned' ? pathOf(pod, at) : `/run/docker/netns/${at}`;
    return [{ paths: [path], netnsId: pod.life === 'live' ? at : undefined }];
  });
  return [
    ...pods_,
    ...(furniture.includes('docker') ? [{ paths: ['/run/docker/netns/d'], netnsId: 91 }] : []),
    ...(furniture.includes('other network') ? [{ paths: [`${NETNS}other`], netnsId: 92 }] : []),
    ...(furniture.includes('named netns') ? [{ paths: ['/run/netns/mine'], netnsId: undefined }] : []),
  ];
}

function tracesOf({ pods }: World): Traces {
  const speaking = pods.map((pod, at) => ({ pod, ip: parseIp(ipOf(at)) })).filter(({ pod }) => pod.life === 'live');
  const heard = speaking.filter(({ pod }) => pod.voice === 'heard' && pod.maker === 'weft');
  const neighs = speaking.filter(({ pod }) => pod.voice === 'neighbour');
  return {
    macs: new Set(heard.map(({ ip }) => podMac(ip))),
    neighs: neighs.map(({ ip }) => ({ family: 4, index: 7, destination: ip, state: NUD_REACHABLE, flags: 0 })),
  };
}

const OWNERS: Readonly<Record<Pod['file'], (at: number) => string>> = {
  'its own': (at) => `pod${at}\r\neth0`,
  'its container': (at) => `pod${at}`,
  nobody: () => '',
  'a stranger': (at) => `elsewhere${at}\r\neth0`,
  'a stranger whose netns is gone': (at) => `gone${at}\r\neth0`,
  none: () => '',
};

/** The holders that the agent's listing finds in the files. */
function holdersOf({ pods }: World): { readonly holder: Holder; readonly pod: Pod }[] {
  return pods.flatMap((pod, at) => {
    const owner = OWNERS[pod.file](at);
    const [containerId = '', ifname = ''] = owner.split('\r\n');
    const isOwn = pod.file === 'its own';
    const locked = pod.life === 'adding';
    const address: Holder = {
      containerId,
      ifname,
      owner,
      ips: [parseIp(ipOf(at))],
      isBeingAdded: locked,
      mayBeAddedUnseen: false,
    };
    const saved: Holder = {
      ...address,
      ...idOf(at),
      owner: `pod${at}\r\neth0`,
      ips: [],
      isBeingAdded: locked && pod.saved === 'ours',
      mayBeAddedUnseen: pod.saved === 'flannel’s',
    };
    return [...(pod.file === 'none' ? [] : [address]), ...(pod.saved === 'none' || isOwn ? [] : [saved])].map(
      (holder) => ({ holder, pod }),
    );
  });
}

/** The cached results of strangers, which came with the folder from another node. */
function strangersOf({ pods }: World): CachedResult[] {
  return pods.flatMap((pod, at): CachedResult[] => {
    if (pod.file !== 'a stranger whose netns is gone') return [];
    const names = { hostInterfaces: ['cni0', `vethfeed000${at}`], podMacs: [], ips: [ipOf(at)] };
    return [{ network: 'cbr0', containerId: `gone${at}`, ifname: 'eth0', netns: [`${NETNS}gone${at}`], ...names }];
  });
}

function lookIn({ pods, sees }: World): (path: string) => NetnsState {
  const there = new Set(pods.flatMap((pod, at) => (pod.held === 'pinned' && hasNetns(pod) ? [`${NETNS}${at}`] : [])));
  return (path) => {
    if (sees === 'no mounts of the runtime' || path.startsWith('/proc/')) return { kind: 'unknown', why: 'not seen' };
    return { kind: there.has(path) ? 'there' : 'gone', path };
  };
}

/** Evidence that is hidden from the judge. */
export type Hidden = 'ports' | 'pins' | 'locks' | 'claims' | 'loose ports' | 'signs';

export interface JudgedHolder {
  readonly holder: Holder;
  /** The pod to which it belongs. */
  readonly pod: Pod;
  readonly verdict: Verdict;
}

/** Judges all holders in a world. `hidden` is evidence that is withheld. */
export function judgeWorld(world: World, hidden?: Hidden): JudgedHolder[] {
  const listed = holdersOf(world).map(({ holder, pod }) => {
    const isBeingAdded = holder.isBeingAdded && hidden !== 'locks';
    return { pod, holder: { ...holder, isBeingAdded } };
  });
  const holders = listed.map(({ holder }) => holder);
  const verdicts = judgeAll(scopeOf(world), seenOf(world, hidden), holders);
  return listed.map((one, at) => ({ ...one, verdict: verdicts[at] ?? { isDead: false, why: '' } }));
}

function scopeOf(world: World): SurveyScope {
  const blind = world.sees === 'no mounts of the runtime' ? 'not seen' : undefined;
  const places = { network: 'cbr0', bridge: 'cni0', isBridged: world.isBridged, results: '' };
  return { ...places, lookAtNetns: lookIn(world), blind };
}

function seenOf(world: World, hidden: Hidden | undefined): Seen {
  const cached = [...world.pods.flatMap((pod, at) => cachedOf(pod, at) ?? []), ...strangersOf(world)].map((one) =>
    hidden === 'claims' ? { ...one, ips: [] } : one,
  );
  const all = world.isBridged ? portsOf(world) : [];
  const ports = all.filter(({ isOnBridge }) => hidden !== 'ports' && (hidden !== 'loose ports' || isOnBridge));
  const silence = { macs: new Set<string>(), neighs: [] };
  return {
    view: {
      ports: hidden === 'signs' ? ports.map((port) => ({ ...port, mac: undefined })) : ports,
      pins: hidden === 'pins' ? [] : pinsOf(world),
    },
    traces: world.isBridged && hidden !== 'signs' ? tracesOf(world) : silence,
    cached: new Map(cached.map((one) => [cachedResultName(one.network, one.containerId, one.ifname), one])),
  };
}

/** Whether this combination of facts can exist. */
function isPossible({ maker, life, held, file, saved }: Pod): boolean {
  // The files of a running ADD are at most minutes old, so nobody has replaced them by other files.
  if (life === 'adding') return maker === 'weft' && (file === 'its own' || file === 'none') && saved !== 'flannel’s';
  // The reference plugins make the port first. Before that, there is only the file that flannel's own plugin saved.
  if (life === 'adding without a lock' && maker === 'reference') return file === 'none' && saved !== 'ours';
  // A running ADD of an earlier version can be recognised only by the pinned netns.
  if (life === 'adding without a lock') return held.startsWith('pinned') && file === 'its own' && saved === 'ours';
  return true;
}

const AXES: { readonly [Key in keyof Pod]: readonly Pod[Key][] } = {
  maker: ['weft', 'reference'],
  life: ['live', 'dead', 'adding', 'adding without a lock'],
  held: ['pinned', 'pinned elsewhere', 'by processes', 'by processes, pin removed'],
  cache: ['nothing', 'addresses', 'addresses and netns', 'sandbox', 'all'],
  file: ['its own', 'its container', 'nobody', 'a stranger', 'a stranger whose netns is gone', 'none'],
  saved: ['none', 'ours', 'flannel’s'],
  port: ['on the bridge', 'on no bridge'],
  voice: ['silent', 'heard', 'neighbour'],
};

/** All combinations of all values. */
export function everyPod(): Pod[] {
  let all: object[] = [{}];
  for (const [key, values] of Object.entries(AXES)) {
    all = all.flatMap((one) => values.map((value) => ({ ...one, [key]: value })));
  }
  return (all as Pod[]).filter(isPossible);
}

export const pods: fc.Arbitrary<Pod> = fc
  .record<Pod>({
    maker: fc.constantFrom(...AXES.maker),
    life: fc.constantFrom(...AXES.life),
    held: fc.constantFrom(...AXES.held),
    cache: fc.constantFrom(...AXES.cache),
    file: fc.constantFrom(...AXES.file),
    saved: fc.constantFrom(...AXES.saved),
    port: fc.constantFrom(...AXES.port),
    voice: fc.constantFrom(...AXES.voice),
  })
  .filter(isPossible);

const FURNITURE = ['uplink', 'docker', 'other network', 'named netns', 'stranger’s port'] as const;

export const worlds: fc.Arbitrary<World> = fc.record({
  pods: fc.array(pods, { minLength: 1, maxLength: 5 }),
  furniture: fc.subarray([...FURNITURE]),
  sees: fc.constantFrom<World['sees']>('the runtime’s mounts', 'no mounts of the runtime'),
  isBridged: fc.constant(true),
});
