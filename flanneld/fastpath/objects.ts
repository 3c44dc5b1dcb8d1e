// The fast path's objects as kinds of the reconciler: programs at devices, pods and peers in maps. The kernel sends no events about them,
// so they are polled. All of them belong to us.

import { type BpfMap, deleteElement, listElements, updateElement } from '../../lib/bpf/map.ts';
import { errorText } from '../../lib/errors.ts';
import { type Family, formatIp, type Ip, ipFromBytes, sameIp } from '../../lib/ip.ts';
import { putNear, readNear, removeNear } from '../../lib/pods/fast-path-pods.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { Action, AnyKind, ObjectKind, Refusal } from '../dataplane/objects/kind.ts';
import { addressKey as objectKey } from '../dataplane/objects/kind.ts';
import type { Attached, KernelState } from './kernel-state.ts';
import { addressKey, encodePeer, encodePod, type PeerEntry, type PodEntry, peerValue } from './programs/layout.ts';
import type { ProgramName } from './programs/node-programs.ts';

const FAMILIES: readonly Family[] = [4, 6];

/** A change that is made by bpf(2). */
interface Doing extends Action {
  run(): void;
}

export interface WantedLink {
  readonly ifindex: number;
  readonly program: ProgramName;
  /** The device's name, for messages. */
  readonly dev: string;
}

export interface WantedPod {
  readonly ip: Ip;
  readonly entry: PodEntry;
}

export interface WantedPeer {
  /** The first address of the peer's subnet. */
  readonly ip: Ip;
  readonly entry: PeerEntry;
}

/** An element of a map whose keys are addresses. */
interface Element {
  readonly ip: Ip;
  readonly value: Uint8Array;
  /** For a pod: whether `nearMap` agrees. */
  readonly isNearRight?: boolean;
}

export interface FastPathKinds {
  readonly link: ObjectKind<WantedLink, Attached, Doing>;
  readonly pod: ObjectKind<WantedPod, Element, Doing>;
  readonly peer: ObjectKind<WantedPeer, Element, Doing>;
  /** In the order in which they are made: no program runs before its maps are full. */
  readonly all: readonly AnyKind[];
}

export function fastPathKinds(sys: Syscalls, state: KernelState): FastPathKinds {
  const peer = elementKind<WantedPeer>(sys, state, {
    name: 'fast path peer',
    map: 'peers',
    encode: ({ entry }) => encodePeer(entry),
    // The bytes after these are counters, which the programs change.
    compared: peerValue.sent,
  });
  const pod = elementKind<WantedPod>(sys, state, {
    name: 'fast path pod',
    map: 'pods',
    encode: ({ entry }) => encodePod(entry),
    alsoPut: (ip, value) => ip.family === 4 && putNear(sys, state.map('near4'), addressKey(ip), value),
    remove: (ip) => removePod(state, ip),
    check: (elements) => withNear(sys, state, elements),
  });
  const link = linkKind(state);
  return { link, pod, peer, all: [peer, pod, link] as unknown as AnyKind[] };
}

function linkKind(state: KernelState): ObjectKind<WantedLink, Attached, Doing> {
  return {
    name: 'fast path program',
    wantedKey: ({ ifindex }) => ifindex,
    presentKey: ({ ifindex }) => ifindex,
    isRight: (have, want) => have.program === want.program,
    isOurs: () => true,
    list: () => state.attached(),
    asWanted: ({ ifindex, program }) => ({ ifindex, program }),
    put: ({ ifindex, program, dev }) => ({
      describe: () => `attach program ${program} to ingress of ${dev}`,
      run: () => state.attach(ifindex, program),
    }),
    remove: ({ ifindex }) => ({
      describe: () => `detach program from ingress of if${ifindex}`,
      run: () => state.detach(ifindex),
    }),
    spell: ({ ifindex }) => `program at if${ifindex}`,
    difference: () => 'was another program',
    deviceOf: (want, have) => want?.dev ?? `if${have?.ifindex}`,
    execute,
  };
}

interface ElementSpec<Want> {
  readonly name: string;
  /** The map's name without the number of the family. */
  readonly map: 'peers' | 'pods';
  readonly encode: (want: Want) => Uint8Array;
  /** How many bytes of the value are compared; all when absent. */
  readonly compared?: number;
  /** What else is written, or removed, or looked at. */
  readonly alsoPut?: (ip: Ip, value: Uint8Array) => unknown;
  readonly remove?: (ip: Ip) => void;
  readonly check?: (elements: readonly Element[]) => readonly Element[];
}

function elementKind<Want extends { readonly ip: Ip }>(
  sys: Syscalls,
  state: KernelState,
  { name, map, encode, compared, alsoPut, remove, check = (elements) => elements }: ElementSpec<Want>,
): ObjectKind<Want, Element, Doing> {
  const mapOf = (ip: Ip): BpfMap => state.map(`${map}${ip.family}`);
  const isSame = (a: Uint8Array, b: Uint8Array): boolean =>
    a.subarray(0, compared).every((byte, index) => byte === b[index]);
  return {
    name,
    wantedKey: ({ ip }) => objectKey(ip),
    presentKey: ({ ip }) => objectKey(ip),
    isRight: (have, want) => isSame(have.value, encode(want)) && have.isNearRight !== false,
    isOurs: () => true,
    list: () =>
      check(
        FAMILIES.flatMap((family) =>
          listElements(sys, state.map(`${map}${family}`)).map(({ key, value }) => ({ ip: ipFromBytes(key), value })),
        ),
      ),
    asWanted: (want) => ({ ip: want.ip, value: encode(want) }),
    put: (want) => ({
      describe: () => `put ${formatIp(want.ip)} into map ${mapOf(want.ip).spec.name}`,
      run: () => {
        const value = encode(want);
        updateElement(sys, mapOf(want.ip), addressKey(want.ip), value);
        alsoPut?.(want.ip, value);
      },
    }),
    remove: ({ ip }) => ({
      describe: () => `remove ${formatIp(ip)} from map ${mapOf(ip).spec.name}`,
      run: () => (remove === undefined ? void deleteElement(sys, mapOf(ip), addressKey(ip)) : remove(ip)),
    }),
    spell: ({ ip }) => `${formatIp(ip)} in map ${mapOf(ip).spec.name}`,
    difference: () => 'had other values',
    execute,
  };
}

/** Removes a pod from both maps. Throws SysError. */
export function removePod(state: KernelState, ip: Ip): void {
  const address = addressKey(ip);
  if (ip.family === 4) removeNear(state.sys, state.map('near4'), address);
  deleteElement(state.sys, state.map(`pods${ip.family}`), address);
}

/** Looks whether each pod has its element of `nearMap`. Where two pods have the same one, it is right when one of them has it. */
function withNear(sys: Syscalls, state: KernelState, pods: readonly Element[]): Element[] {
  const addresses = new Set(pods.map(({ ip }) => objectKey(ip)));
  return pods.map(({ ip, value }) => {
    if (ip.family === 6) return { ip, value };
    const near = readNear(sys, state.map('near4'), addressKey(ip));
    const owner = near && ipFromBytes(near.address);
    const isNearRight =
      near !== undefined &&
      owner !== undefined &&
      (sameIp(owner, ip) ? near.value.every((byte, at) => byte === value[at]) : addresses.has(objectKey(owner)));
    return { ip, value, isNearRight };
  });
}

/** The device may be gone by now. Its RTM_DELLINK then removes it from what is wanted. */
function execute(actions: readonly Doing[]): Promise<readonly Refusal[]> {
  const refusals: Refusal[] = [];
  for (const action of actions) {
    try {
      action.run();
    } catch (error) {
      refusals.push({ action, text: errorText(error) });
    }
  }
  return Promise.resolve(refusals);
}
