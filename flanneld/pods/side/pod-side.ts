// The pods' side of this node: the bridge, its address, its ports, and whether pods' packets are forwarded. All of it is checked at
// every event about it and every few seconds. What can be repaired is repaired; the rest is reported.

import type { Netlink } from '../../../lib/netlink/connection.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { DriftNotes } from '../../health/drift-ledger.ts';
import type { Logger } from '../../health/log.ts';
import type { PodNetwork } from '../pod-network.ts';
import { comparePodSide, type Finding, type Repair } from './compare-pod-side.ts';
import { type Entrance, forwardingFindings } from './forwarding.ts';
import { type Attachment, listAttachments, type ObservedPodSide, observePodSide } from './observe-pod-side.ts';
import { type PathFamily, pathFindings } from './paths.ts';
import { type PodFamily, wantedPodSide } from './want.ts';

/** Facts from the rest of the agent, which are read at every check. */
export interface PodSideFacts {
  readonly families: readonly PodFamily[];
  /** MTU for pods; 0 before it is known. */
  readonly mtuBytes: number;
  /** Devices by which packets from other nodes' pods arrive. */
  readonly tunnels: readonly Entrance[];
  readonly paths: readonly PathFamily[];
}

export interface PodSideTools {
  readonly sys: Syscalls;
  readonly netlink: Netlink;
  readonly log: Logger;
  readonly drift: DriftNotes;
}

export interface PodSideOptions {
  /** The conflist in use; undefined when there is none. */
  readonly conflist: () => string | undefined;
  readonly podNetwork: () => PodNetwork;
  readonly cniStateDir: string;
}

/** The result of one check. */
export interface PodSideLook {
  readonly findings: readonly Finding[];
  /** Whether something looked wrong that the next check will repair if it is still wrong. */
  readonly isUnsettled: boolean;
  /** Undefined when the conflist has no bridge, or there is no conflist yet. */
  readonly observed: ObservedPodSide | undefined;
}

/** The most times that the files of a device that looks wrong are read, if they show nothing wrong. */
const LOOKS = 2;

export class PodSide {
  readonly #options: PodSideOptions;
  readonly #tools: PodSideTools;
  /** What looked wrong at the last check. It is repaired only if it still is at the next, when a running ADD or DEL is over. */
  #suspects: ReadonlySet<string> = new Set();
  /** How often a device that looked wrong turned out to be right or not ours, so that its files are not read for ever. */
  readonly #harmless = new Map<string, number>();

  constructor(options: PodSideOptions, tools: PodSideTools) {
    this.#options = options;
    this.#tools = tools;
  }

  /** Checks the pods' side, and repairs what was also wrong at the last check. Throws NetlinkError, SysError. */
  look({ families, mtuBytes, tunnels, paths }: PodSideFacts): PodSideLook {
    const { netlink } = this.#tools;
    const conflist = this.#options.conflist();
    const wanted = conflist === undefined ? undefined : wantedPodSide(conflist, families, mtuBytes);
    if (wanted === undefined) return { findings: [], isUnsettled: false, observed: undefined };
    const observed = observePodSide(netlink, wanted.bridge);
    const { repairs, findings } = comparePodSide(wanted, observed, this.#attachments(observed));
    const { bridge, ports } = observed;
    const entrances = bridge === undefined ? tunnels : [bridge, ...tunnels];
    const versions = families.map(({ network }) => network.ip.family);
    const forwarding = forwardingFindings(netlink, versions, entrances, ports.length > 0);
    // Paths are checked only if the kernel forwards and nothing is being repaired; otherwise they would look wrong.
    const hasPaths = forwarding.length === 0 && repairs.length === 0 && ports.length > 0;
    const diverted =
      hasPaths && bridge !== undefined ? paths.flatMap((path) => pathFindings(netlink, path, bridge)) : [];
    const isUnsettled = this.#repair(repairs);
    return { findings: [...forwarding, ...findings, ...diverted], isUnsettled, observed };
  }

  /** Reads files only for a device that looks wrong, and at most twice, since its ADD may just be writing them. */
  #attachments({ ports, loose }: ObservedPodSide): (name: string) => Attachment | undefined {
    const onBridge = ports.map(({ name, index }) => [name, `${index} on the bridge`] as const);
    const present = new Map<string, string>([
      ...onBridge,
      ...loose.map(({ name, index }) => [name, `${index} loose`] as const),
    ]);
    const keys = new Set(present.values());
    for (const key of this.#harmless.keys()) if (!keys.has(key)) this.#harmless.delete(key);
    let all: Map<string, Attachment> | undefined;
    return (name) => {
      const key = present.get(name) ?? '';
      const looks = this.#harmless.get(key) ?? 0;
      if (looks === LOOKS) return undefined;
      all ??= listAttachments(this.#tools.sys, this.#options.podNetwork(), this.#options.cniStateDir);
      const attachment = all.get(name);
      const isHarmless = attachment === undefined || (!attachment.hairpin && !key.endsWith('loose'));
      if (isHarmless) this.#harmless.set(key, looks + 1);
      return attachment;
    };
  }

  /** Repairs what is due; returns whether something waits for the next look. */
  #repair(repairs: readonly Repair[]): boolean {
    const due = repairs.filter(({ key }) => this.#suspects.has(key));
    this.#suspects = new Set(repairs.map(({ key }) => key));
    for (const repair of due) this.#apply(repair);
    return due.length < repairs.length;
  }

  #apply({ object, place, what, was, requests }: Repair): void {
    const { netlink, log, drift } = this.#tools;
    for (const request of requests) netlink.run(request);
    const cmd = requests.map((request) => request.command?.() ?? request.describe()).join(' && ');
    log.info({ dev: place, what, was, cmd }, 'the pods’ bridge and ports repaired');
    drift.note({ object, place, what, was, cmd });
  }
}
