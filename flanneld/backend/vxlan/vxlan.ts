// The vxlan backend (flannel pkg/backend/vxlan): chooses the MAC of each VTEP and advertises it in the lease. For each family it
// has a VXLAN device with this node's address, and the peers behind it.

import type { Family } from '../../../lib/ip.ts';
import { type JsonValue, jsonObject } from '../../../lib/json.ts';
import type { Mac } from '../../../lib/mac.ts';
import { getLink } from '../../../lib/rtnetlink/link.ts';
import type { TunnelWay } from '../../dataplane/tunnel-way.ts';
import type {
  Advertised,
  AnyOverlaySpec,
  Backend,
  BackendStart,
  BackendType,
  FamilyPlace,
  FamilySettings,
  OnDeviceChange,
  OverlaySpec,
  OverlayTools,
} from '../backend.ts';
import { ensureOwnAddress } from '../device-address.ts';
import { onceOnly, removeMovedRoutes, removeNetworkRoutes } from '../moving/former-routes.ts';
import { keysToMove, moveData, newKey } from '../moving/move-keys.ts';
import { movingOverlay } from '../moving/moving.ts';
import { OnLink } from '../on-link.ts';
import { tooLargeMtu } from '../tunnel-mtu.ts';
import type { KeyPair } from '../wireguard/wireguard-key.ts';
import { chooseVtepMac } from './vtep-mac.ts';
import { ensureVxlanDevice, isVxlanDevice, vxlanDeviceName, vxlanMtu, vxlanOverheadBytes } from './vxlan-device.ts';
import { readVxlanKeys, type VxlanConf, vxlanKeys } from './vxlan-keys.ts';
import { VXLAN_KINDS, type VxlanPeer, VxlanPlanner, vxlanObjects } from './vxlan-peers.ts';

const TYPE = 'vxlan';

function vxlanTunnel({ vni, port }: VxlanConf, family: Family): TunnelWay {
  return { type: TYPE, device: vxlanDeviceName(family, vni), port, vni, overheadBytes: vxlanOverheadBytes(family) };
}

export const vxlan: BackendType<VxlanConf> = {
  type: TYPE,
  keys: vxlanKeys,
  readKeys: readVxlanKeys,
  make: vxlanBackend,
  ownsDevice: isVxlanDevice,
  tunnel: vxlanTunnel,
};

function vxlanBackend(conf: VxlanConf): Backend {
  const macs = new Map<Family, Mac>();
  const { moveTo } = conf;
  let keys: KeyPair | undefined;
  return {
    type: TYPE,
    async advertise(start) {
      for (const place of start.places) macs.set(place.family, macFor(place, conf, start));
      keys = moveTo && (await keysToMove(start.tools));
      return { ...advertised(conf, macs), ...(moveTo && keys && { moveData: moveData(moveTo, keys) }) };
    },
    ...(moveTo && { rotateKey: newKey }),
    overlays: ({ tools }, families) =>
      families.flatMap((settings): AnyOverlaySpec[] => {
        const mac = macs.get(settings.family);
        if (mac === undefined) return [];
        const overlay = vxlanOverlay(settings, conf, mac, tools);
        return [moveTo && keys ? movingOverlay(overlay, moveTo, keys, tools) : overlay];
      }),
  };
}

function advertised(conf: VxlanConf, macs: ReadonlyMap<Family, Mac>): Advertised {
  const [mac4, mac6] = [macs.get(4), macs.get(6)];
  return {
    backendType: TYPE,
    ...(mac4 && { backendData: backendDataFor(conf.vni, mac4) }),
    ...(mac6 && { backendV6Data: backendDataFor(conf.vni, mac6) }),
  };
}

/** The backend data of the lease. The order of keys is flannel's, because flannel finds the MAC by splitting the text. */
function backendDataFor(vni: number, mac: Mac): JsonValue {
  return jsonObject({ VNI: vni, VtepMAC: mac });
}

function macFor({ family, publicIp }: FamilyPlace, conf: VxlanConf, { snapshot, tools }: BackendStart): Mac {
  const { leases, ownKey } = snapshot;
  const device = getLink(tools.netlink, { name: vxlanDeviceName(family, conf.vni) });
  const existing = device?.kind === 'vxlan' ? device.mac : undefined;
  return chooseVtepMac({ family, leases, ownKey, publicIp, existing, random: tools.randomMac });
}

function vxlanOverlay(
  settings: FamilySettings,
  conf: VxlanConf,
  mac: Mac,
  { netlink, clock }: OverlayTools,
): OverlaySpec<VxlanPeer> {
  const { family, network, subnet, publicIp, local } = settings;
  const { vni, port, learning, gbp, directRouting, fastPath, moveTo } = conf;
  const name = vxlanDeviceName(family, vni);
  const config = { family, network, subnet, publicIp, vni, mac };
  const leaveFormer = onceOnly((onChange: OnDeviceChange) => {
    removeNetworkRoutes(netlink, network, onChange);
    if (moveTo === undefined) removeMovedRoutes(netlink, network, onChange);
  });
  const planner = new VxlanPlanner(config, directRouting ? new OnLink(netlink, clock) : undefined);
  return {
    name,
    check: `device ${name} and its peers`,
    settings,
    vni,
    mtu: (underlay) => vxlanMtu(family, underlay, conf.mtu),
    mtuNote: (underlay) => tooLargeMtu(underlay, conf.mtu),
    ensureDevice(underlay, mtu, onChange) {
      const spec = { name, family, vni, port, local, underlay, mtu, mac, learning, gbp };
      const device = ensureVxlanDevice(netlink, spec, (request, was) => onChange('link', request, was));
      ensureOwnAddress(netlink, device, subnet.ip, network, (request, was) => onChange('address', request, was));
      leaveFormer(onChange);
      return device;
    },
    kinds: VXLAN_KINDS,
    objects: vxlanObjects,
    plan: (snapshot, context) => planner.plan(snapshot, context),
    followsRoutes: directRouting,
    ...(directRouting && { isDirect: ({ isDirect = false }: VxlanPeer) => isDirect }),
    openPort: { port, isVxlan: true },
    tunnel: vxlanTunnel(conf, family),
    fastPath,
    facts: () => ({ mac, vni, port }),
  };
}
