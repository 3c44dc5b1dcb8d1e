// The vxlan backend: one overlay a family, that is a VXLAN device, this node's address on it, and the peers behind it
// (flannel pkg/backend/vxlan).

import type { VxlanConf } from '../../lib/backend-conf.ts';
import { OpError } from '../../lib/errors.ts';
import { type Family, formatIp, formatPrefix, type IpPrefix } from '../../lib/ip.ts';
import { type JsonValue, jsonObject } from '../../lib/json.ts';
import type { Mac } from '../../lib/mac.ts';
import type { MessageReader } from '../../lib/netlink/reader.ts';
import { getLink, type Link } from '../../lib/rtnetlink/link.ts';
import type { OverlayConfig } from '../dataplane/peer.ts';
import { RepairBudget } from '../dataplane/repair-budget.ts';
import type { Device } from '../dataplane/state.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import type { OverlayStatus } from '../health/status/report.ts';
import type { LeaseSnapshot } from '../subnet/manager.ts';
import { type FamilySettings, kernelChanged, kernelQuiet, type Overlay, type OverlayTools } from './overlay.ts';
import { ensureOwnAddress } from './own-address.ts';
import { ensureVxlanDevice, type OnDeviceChange, vxlanDeviceName, vxlanMtu } from './vxlan-device.ts';
import { VxlanPeers } from './vxlan-peers.ts';

export interface VxlanSettings extends FamilySettings {
  readonly conf: VxlanConf;
  readonly mac: Mac;
}

/** What a node advertises about its VTEP, in flannel's key order: its agent finds the MAC by cutting text. */
export function backendDataFor(vni: number, mac: Mac): JsonValue {
  return jsonObject({ VNI: vni, VtepMAC: mac });
}

export class VxlanOverlay implements Overlay {
  readonly #settings: VxlanSettings;
  readonly #tools: OverlayTools;
  readonly #peers: VxlanPeers;
  readonly #budget = new RepairBudget();
  readonly name: string;
  #device: Device | undefined;
  #underlay: Device | undefined;
  /** Until then the device is left as it is: somebody keeps changing it back. */
  #restUntilMs = 0;
  #mtuBytes = 0;
  #mtuNote: string | undefined;

  constructor(settings: VxlanSettings, tools: OverlayTools) {
    this.#settings = settings;
    this.#tools = tools;
    this.#peers = new VxlanPeers(tools, settings.conf.directRouting);
    this.name = vxlanDeviceName(settings.family, settings.conf.vni);
  }

  get family(): Family {
    return this.#settings.family;
  }

  get vni(): number {
    return this.#settings.conf.vni;
  }

  get network(): IpPrefix {
    return this.#settings.network;
  }

  get subnet(): IpPrefix {
    return this.#settings.subnet;
  }

  /** Name of the external interface. */
  get underlay(): string {
    return this.#settings.underlay;
  }

  /** MTU of the device, hence of pods; 0 before there is one. */
  get mtuBytes(): number {
    return this.#mtuBytes;
  }

  get peerCount(): number {
    return this.#peers.count;
  }

  /** Index of the device; undefined before there is one. */
  get deviceIndex(): number | undefined {
    return this.#device?.index;
  }

  get check(): string {
    return `device ${this.name} and its peers`;
  }

  /** Only with DirectRouting does it matter to more than the device. */
  get underlayIndex(): number | undefined {
    return this.#settings.conf.directRouting ? this.#underlay?.index : undefined;
  }

  isEcho(message: MessageReader): boolean {
    return this.#device !== undefined && this.#peers.isEcho(message, this.#device.index);
  }

  peerProblems(): PeerProblem[] {
    return this.#peers.problems();
  }

  /** Makes device and address right. Throws OpError (NetlinkError) saying who is in the way. */
  ensureDevice(): Device {
    const { netlink, clock } = this.#tools;
    const nowMs = clock.now();
    if (this.#device !== undefined && nowMs < this.#restUntilMs) return this.#device;
    const { family, conf, underlay, local, mac, subnet, network } = this.#settings;
    const link = getLink(netlink, { name: underlay });
    if (link === undefined) {
      throw new OpError({
        subsystem: 'vxlan',
        op: 'use',
        object: underlay,
        code: 'ENODEV',
        detail: 'the external interface is gone',
      });
    }
    this.#underlay = link;
    const { vni, port, learning, gbp } = conf;
    const mtu = vxlanMtu(family, link, conf.mtu);
    this.#noteMtu(link);
    const repaired = this.#device !== undefined;
    const changes: string[] = [];
    const noting =
      (object: 'link' | 'address'): OnDeviceChange =>
      (request, was) => {
        const cmd = request.command?.() ?? request.describe();
        this.#tools.log.info({ dev: this.name, was, cmd }, repaired ? 'device repaired' : 'device set up');
        if (repaired) this.#tools.drift?.note({ object, place: this.name, what: this.name, was, cmd });
        changes.push(was);
      };
    const spec = { name: this.name, family, vni, port, local, underlay: link, mtu, mac, learning, gbp };
    const device = ensureVxlanDevice(netlink, spec, noting('link'));
    ensureOwnAddress(netlink, device, subnet.ip, network, noting('address'));
    if (repaired && changes.length > 0) this.#countRepair(nowMs, changes);
    this.#device = device;
    this.#mtuBytes = mtu;
    return device;
  }

  /** Differs from flannel, which has the kernel refuse the device: what the interface carries is used, and said. */
  #noteMtu({ name, mtu }: Link): void {
    const { conf } = this.#settings;
    const isTooLarge = conf.mtu !== undefined && conf.mtu > mtu;
    const note = isTooLarge ? `Backend.MTU is ${conf.mtu}, and ${name} carries ${mtu}: ${mtu} is used` : undefined;
    if (note !== undefined && note !== this.#mtuNote) this.#tools.log.warn({ dev: this.name }, note);
    this.#mtuNote = note;
  }

  notes(): { readonly about: string; readonly problem: string }[] {
    return this.#mtuNote === undefined ? [] : [{ about: `MTU of ${this.name}`, problem: this.#mtuNote }];
  }

  #countRepair(nowMs: number, changes: readonly string[]): void {
    const waitMs = this.#budget.take(this.name, nowMs);
    if (waitMs === 0) return;
    this.#restUntilMs = nowMs + waitMs;
    if (this.#budget.waited(this.name) === 1) {
      const facts = { dev: this.name, was: changes.join(', ') };
      this.#tools.log.warn(facts, 'somebody keeps changing the device, repairing it once a second only');
    }
  }

  /**
   * Makes device and peers right for a snapshot of the leases. Resolves to the milliseconds after which it wants to
   * run again, undefined when nothing is pending. Rejects with what stands in the way.
   */
  async run(snapshot: LeaseSnapshot, woken: ReadonlySet<string>): Promise<number | undefined> {
    const device = this.ensureDevice();
    const { underlay: name } = this.#settings;
    const underlay = this.#underlay ?? { index: 0, name };
    const news = { changed: kernelChanged(woken), quiet: kernelQuiet(woken) };
    const where = { device, underlay, config: this.#config(), ...news };
    const retryMs = await this.#peers.run(snapshot, where);
    const restMs = this.#restUntilMs - this.#tools.clock.now();
    return restMs > 0 ? Math.min(restMs, retryMs ?? restMs) : retryMs;
  }

  #config(): OverlayConfig {
    const { family, network, subnet, publicIp, conf, mac } = this.#settings;
    return { family, network, subnet, publicIp, vni: conf.vni, mac };
  }

  status(): OverlayStatus {
    const { family, conf, network, subnet, underlay, local, publicIp, mac } = this.#settings;
    return {
      device: this.name,
      family,
      network: formatPrefix(network),
      subnet: formatPrefix(subnet),
      mac,
      vni: conf.vni,
      port: conf.port,
      mtu: this.#mtuBytes,
      iface: underlay,
      local: formatIp(local),
      publicIp: formatIp(publicIp),
      peers: this.#peers.counts,
      problems: this.#peers.problems(),
    };
  }

  /** For the log: what this overlay is. */
  describe(): Readonly<Record<string, string | number>> {
    const { network, subnet, underlay, local, publicIp, mac } = this.#settings;
    return {
      dev: this.name,
      network: formatPrefix(network),
      subnet: formatPrefix(subnet),
      iface: underlay,
      local: formatIp(local),
      publicIp: formatIp(publicIp),
      mac,
      mtu: this.#mtuBytes,
    };
  }
}
