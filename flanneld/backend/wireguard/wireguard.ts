// The wireguard backend (flannel pkg/backend/wireguard): packets between nodes are encrypted. The pod network is routed into one device, or
// one for each family, and the device chooses the peer by the pod's address. Differs from flannel: device and peers stay when the agent
// ends, changes by others are undone, and a peer's former key is removed.

import { jsonObject } from '../../../lib/json.ts';
import { type Device, wanted } from '../../dataplane/objects/kind.ts';
import { bareOverlay } from '../alloc.ts';
import type {
  Advertised,
  AnyOverlaySpec,
  Backend,
  BackendTools,
  BackendType,
  FamilySettings,
  OnDeviceChange,
  OverlaySpec,
} from '../backend.ts';
import { ensureOwnAddress } from '../device-address.ts';
import { onceOnly, removeFormerRoutes } from '../moving/former-routes.ts';
import { ensureNetworkRoute } from '../network-route.ts';
import { tooLargeMtu } from '../tunnel-mtu.ts';
import {
  readWireguardKeys,
  WIREGUARD_TYPE,
  type WireguardConf,
  wireguardKeys,
  wireguardTunnel,
} from './wireguard-conf.ts';
import { WireguardControl } from './wireguard-control.ts';
import { WIREGUARD_DEVICES, WireguardDeviceKeeper, wireguardMtu } from './wireguard-device.ts';
import { generateKeys, KEY_FILE, type KeyPair, keyFile, keyText, nodeKeys, writeKey } from './wireguard-key.ts';
import { wireguardPeerKind } from './wireguard-peer.ts';
import { type WireguardPlannedPeer, wireguardPlanner } from './wireguard-peers.ts';

export const wireguard: BackendType<WireguardConf> = {
  type: WIREGUARD_TYPE,
  keys: wireguardKeys,
  readKeys: readWireguardKeys,
  make: wireguardBackend,
  ownsDevice: ({ name, kind }) => kind === WIREGUARD_TYPE && WIREGUARD_DEVICES.some((one) => one === name),
  tunnel: wireguardTunnel,
  stateFiles: [KEY_FILE],
};

function wireguardBackend(conf: WireguardConf): Backend {
  let keys: KeyPair | undefined;
  return {
    type: WIREGUARD_TYPE,
    async advertise({ places, tools }) {
      keys = await nodeKeys(keyFile(tools));
      const has = (family: 4 | 6): boolean => places.some((place) => place.family === family);
      return advertised(conf, keys, has(4), has(6));
    },
    rotateKey: (tools) => writeKey(keyFile(tools), generateKeys().privateKey),
    overlays({ tools }, families) {
      if (keys === undefined) return [];
      const own = keys;
      if (conf.mode === 'separate') {
        return families.map((settings) => wireguardOverlay(conf, own, settings, [settings], tools));
      }
      // One device carries both families; its peers belong to the overlay of the first one.
      return families.map((settings, at) =>
        at === 0 ? wireguardOverlay(conf, own, settings, families, tools) : companion(settings, families[0], conf),
      );
    },
  };
}

/** The order of keys is flannel's. */
function advertised(
  { mode, listenPort, listenPortV6 }: WireguardConf,
  keys: KeyPair,
  v4: boolean,
  v6: boolean,
): Advertised {
  const PublicKey = keyText(keys.publicKey);
  // With one device, flannel names ListenPortV6 for IPv6, although nothing listens there. Peers of Weft find the port that is named here.
  const portV6 = mode === 'separate' ? listenPortV6 : listenPort;
  return {
    backendType: WIREGUARD_TYPE,
    ...(v4 && { backendData: jsonObject({ PublicKey, Port: listenPort }) }),
    ...(v6 && { backendV6Data: jsonObject({ PublicKey, Port: portV6 }) }),
  };
}

/** The overlay that has the device and its peers. `families` are all that the device carries; `settings` are those of the first. */
function wireguardOverlay(
  conf: WireguardConf,
  keys: KeyPair,
  settings: FamilySettings,
  families: readonly FamilySettings[],
  { netlink, sys, clock }: BackendTools,
): OverlaySpec<WireguardPlannedPeer> {
  const tunnel = wireguardTunnel(conf, settings.family);
  const { device: name, port: listenPort } = tunnel;
  const control = new WireguardControl(sys);
  const keeper = new WireguardDeviceKeeper(netlink, control, () => clock.now());
  const kind = wireguardPeerKind(control);
  const leaveFormer = onceOnly(({ device, onChange }: { device: Device; onChange: OnDeviceChange }) => {
    for (const { network } of families) removeFormerRoutes(netlink, network, device, onChange);
  });
  const { presharedKey, keepaliveSec, mode } = conf;
  const ports = { 4: conf.listenPort, 6: mode === 'separate' ? conf.listenPortV6 : conf.listenPort };
  const ipv6 = families.some(({ family }) => family === 6);
  return {
    name,
    check: `device ${name} and its peers`,
    settings,
    mtu: (underlay) => wireguardMtu(ipv6 ? 6 : 4, underlay, conf.mtu),
    mtuNote: (underlay) => tooLargeMtu(underlay, conf.mtu),
    ensureDevice(_, mtu, onChange) {
      const device = keeper.ensure({ name, mtu, listenPort, keys }, (request, was) => onChange('link', request, was));
      for (const one of families) ensureFamily(one, device, netlink, onChange);
      leaveFormer({ device, onChange });
      return device;
    },
    kinds: [kind],
    objects: ({ publicKey, endpoint, allowedIps }) => [
      wanted(kind, { publicKey, endpoint, allowedIps, presharedKey, keepaliveSec }),
    ],
    plan: wireguardPlanner({ mode, families, ownKey: keys.publicKey, ports }),
    tunnel,
    facts: () => ({ port: listenPort, publicKey: keyText(keys.publicKey) }),
    close: () => Promise.resolve(control.close()),
  };
}

function ensureFamily(
  { subnet, network }: FamilySettings,
  device: Device,
  netlink: BackendTools['netlink'],
  onChange: OnDeviceChange,
): void {
  ensureOwnAddress(netlink, device, subnet.ip, network, (request, was) => onChange('address', request, was));
  ensureNetworkRoute(netlink, device, network, onChange);
}

/** The overlay of a device's second family: the first one's overlay keeps device, addresses and peers. */
function companion(
  settings: FamilySettings,
  first: FamilySettings | undefined,
  { mtu }: WireguardConf,
): AnyOverlaySpec {
  const [name] = WIREGUARD_DEVICES;
  return {
    ...bareOverlay(`${name}-ipv${settings.family}`, settings),
    check: `IPv${settings.family} by device ${name}, with IPv${first?.family ?? 4}`,
    mtu: (underlay) => wireguardMtu(6, underlay, mtu),
  };
}
