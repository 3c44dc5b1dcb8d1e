// WireGuard in one family on a node that moves: its device, peers, routes and handshakes. If it cannot work here, this does not disturb
// vxlan: there is no device, none of its objects are wanted, and peers are reached by vxlan.

import type { Link } from '../../../lib/rtnetlink/link.ts';
import {
  type Action,
  type Device,
  type ObjectKind,
  type Place,
  type WantedObject,
  wanted,
} from '../../dataplane/objects/kind.ts';
import type { PlannedPeer } from '../../dataplane/plan.ts';
import { createFailureLog, type FailureLog } from '../../health/log.ts';
import type { LeaseSnapshot } from '../../subnet/manager.ts';
import type { AnyOverlaySpec, BackendTools, FamilySettings, OnDeviceChange } from '../backend.ts';
import { ensureOwnAddress } from '../device-address.ts';
import { type WireguardConf, wireguardTunnel } from '../wireguard/wireguard-conf.ts';
import { WireguardControl } from '../wireguard/wireguard-control.ts';
import { WireguardDeviceKeeper, wireguardMtu } from '../wireguard/wireguard-device.ts';
import { type KeyPair, keyText } from '../wireguard/wireguard-key.ts';
import { SESSION_SEC, wireguardPeerKind } from '../wireguard/wireguard-peer.ts';
import { type WireguardPlannedPeer, wireguardPeers } from '../wireguard/wireguard-peers.ts';
import { onlyMoved } from './moved-lease.ts';
import { halvesOf, movedRouteKind } from './moved-route.ts';
import type { MovingPeer, WireguardPeers } from './moving-peers.ts';

/**
 * WireGuard makes handshakes only when there are packets, so both nodes send a keepalive from time to time, even where net-conf.json sets
 * none.
 */
const KEEPALIVE_SEC = 25;
/** When to read the handshakes again: soon while one is awaited, later to notice a session that has ended. */
const AWAITED_MS = 2000;
const WATCHED_MS = 20_000;
const NO_PEERS: WireguardPeers = { peers: [], problems: [] };

export class WireguardWay {
  readonly kinds: AnyOverlaySpec['kinds'];
  /** The objects of a peer; none while the peer has no key. */
  readonly objects: (peer: Pick<MovingPeer<PlannedPeer>, 'wireguard' | 'isEncrypted'>) => WantedObject[];
  readonly #conf: WireguardConf;
  readonly #keys: KeyPair;
  readonly #settings: FamilySettings;
  readonly #tools: BackendTools;
  readonly #control: WireguardControl;
  readonly #keeper: WireguardDeviceKeeper;
  readonly #failures: FailureLog;
  #device: Device | undefined;
  #known: { readonly leases: LeaseSnapshot['leases']; readonly peers: WireguardPeers } | undefined;
  #alive: ReadonlySet<string> = new Set();
  #isAwaited = false;
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(conf: WireguardConf, keys: KeyPair, settings: FamilySettings, tools: BackendTools) {
    this.#conf = conf;
    this.#keys = keys;
    this.#settings = settings;
    this.#tools = tools;
    this.#control = new WireguardControl(tools.sys);
    this.#keeper = new WireguardDeviceKeeper(tools.netlink, this.#control, () => tools.clock.now());
    this.#failures = createFailureLog(tools.log);
    const peer = onDevice(wireguardPeerKind(this.#control), () => this.#device);
    const route = movedRouteKind(() => this.#device);
    const { presharedKey, keepaliveSec } = conf;
    this.kinds = [peer, route];
    this.objects = ({ wireguard, isEncrypted }) => {
      if (wireguard === undefined) return [];
      const { publicKey, endpoint, allowedIps } = wireguard;
      const keepalive = keepaliveSec || KEEPALIVE_SEC;
      const want = { publicKey, endpoint, allowedIps, presharedKey, keepaliveSec: keepalive };
      const routes = isEncrypted ? allowedIps.flatMap(halvesOf) : [];
      return [wanted(peer, want), ...routes.map((destination) => wanted(route, { destination }))];
    };
  }

  get device(): Device | undefined {
    return this.#device;
  }

  mtu(underlay: Link): number {
    return wireguardMtu(this.#settings.family, underlay, this.#conf.mtu);
  }

  /** Makes or corrects the device and its address. A failure is logged. */
  ensure(underlay: Link, onChange: OnDeviceChange): void {
    const { family, subnet, network } = this.#settings;
    const { device: name, port: listenPort } = wireguardTunnel(this.#conf, family);
    try {
      const spec = { name, mtu: this.mtu(underlay), listenPort, keys: this.#keys };
      const device = this.#keeper.ensure(spec, (request, was) => onChange('link', request, was));
      ensureOwnAddress(this.#tools.netlink, device, subnet.ip, network, (request, was) =>
        onChange('address', request, was),
      );
      this.#device = device;
      this.#failures.recovered(name, { dev: name }, 'WireGuard works again');
    } catch (error) {
      this.#device = undefined;
      this.#failures.failed(name, error, { dev: name }, 'no WireGuard here, peers are reached by vxlan only');
    }
  }

  /** The peers that have a key; the same object as long as the leases are the same. */
  peersIn({ leases, ownKey }: LeaseSnapshot): WireguardPeers {
    if (this.#device === undefined) return NO_PEERS;
    if (this.#known?.leases !== leases) {
      const { mode, listenPort, listenPortV6 } = this.#conf;
      const config = {
        ...{ mode, families: [this.#settings], ownKey: this.#keys.publicKey },
        ports: { 4: listenPort, 6: listenPortV6 },
      };
      const moved = { leases: onlyMoved(leases), problems: [], ...(ownKey !== undefined && { ownKey }) };
      this.#known = { leases, peers: wireguardPeers(moved, config) };
    }
    return this.#known.peers;
  }

  /** The keys of the peers with a recent successful handshake; the same object as long as these are the same. */
  look(peers: readonly WireguardPlannedPeer[]): ReadonlySet<string> {
    const nowMs = this.#tools.clock.now();
    if (nowMs - this.#lookedAtMs < AWAITED_MS / 2) return this.#alive;
    this.#lookedAtMs = nowMs;
    const alive = this.#device === undefined ? new Set<string>() : this.#handshakes(this.#device);
    this.#isAwaited = peers.some(({ publicKey }) => !alive.has(keyText(publicKey)));
    const isSame = alive.size === this.#alive.size && [...alive].every((key) => this.#alive.has(key));
    if (!isSame) this.#alive = alive;
    return this.#alive;
  }

  #handshakes(device: Device): Set<string> {
    try {
      const since = Date.now() / 1000 - SESSION_SEC;
      const { peers } = this.#control.read(device);
      return new Set(
        peers.filter(({ handshakeSec }) => handshakeSec > since).map(({ publicKey }) => keyText(publicKey)),
      );
    } catch (error) {
      this.#failures.failed('handshakes', error, { dev: device.name }, 'handshakes cannot be read');
      return new Set();
    }
  }

  /** When to read the handshakes again, since the kernel sends no events about them. */
  lookAgainMs(): number {
    return this.#isAwaited ? AWAITED_MS : WATCHED_MS;
  }

  close(): void {
    this.#control.close();
  }
}

/** The kind, for objects on another device than the overlay's own. */
function onDevice<Want, Have, Do extends Action>(
  kind: ObjectKind<Want, Have, Do>,
  device: () => Device | undefined,
): ObjectKind<Want, Have, Do> {
  const there = (place: Place): Place => ({ ...place, tunnel: device() });
  return {
    ...kind,
    isRight: (have, want, place) => kind.isRight(have, want, there(place)),
    isOurs: (have, place) => kind.isOurs(have, there(place)),
    list: (netlink, place, ...rest) => kind.list(netlink, there(place), ...rest),
    asWanted: (want, place) => kind.asWanted(want, there(place)),
    put: (want, have, place) => kind.put(want, have, there(place)),
    remove: (have, place) => kind.remove(have, there(place)),
    deviceOf: () => device()?.name,
  };
}
