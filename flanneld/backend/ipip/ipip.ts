// The ipip backend (flannel pkg/backend/ipip): IPv4 in IPv4 without a port or a VNI. A peer is one route by the device, whose gateway is
// the peer's public IP: the kernel takes the gateway as the outer destination. Differs from flannel: lost routes and a lost device are
// restored at once, and routes to peers that left while the agent was down are removed.

import { ConfigError } from '../../../lib/errors.ts';
import { readBoolean } from '../../../lib/json-fields.ts';
import { type WantedObject, wanted } from '../../dataplane/objects/kind.ts';
import { route } from '../../dataplane/objects/route.ts';
import type { Plan } from '../../dataplane/plan.ts';
import type { TunnelWay } from '../../dataplane/tunnel-way.ts';
import type { Backend, BackendTools, BackendType, FamilySettings, OverlaySpec } from '../backend.ts';
import { ensureOwnAddress } from '../device-address.ts';
import { leavingFormerBackend } from '../moving/former-routes.ts';
import { OnLink, withDirect } from '../on-link.ts';
import { type RoutePeer, routePlanner } from '../route-peer.ts';
import { ensureIpipDevice, IPIP_DEVICE, IPIP_OVERHEAD_BYTES, ipipMtu } from './ipip-device.ts';

const TYPE = 'ipip';

const TUNNEL: TunnelWay = { type: TYPE, device: IPIP_DEVICE, overheadBytes: IPIP_OVERHEAD_BYTES };

interface IpipConf {
  /** Whether peers on the external interface's own link are reached without the tunnel. */
  readonly directRouting: boolean;
}

export const ipip: BackendType<IpipConf> = {
  type: TYPE,
  keys: {
    DirectRouting: {
      type: 'boolean',
      default: false,
      help: "reach peers on the external interface's own link without the tunnel",
    },
  },
  readKeys: (place) => ({ directRouting: readBoolean(place, 'DirectRouting') ?? false }),
  make: ipipBackend,
  ownsDevice: ({ name, kind }) => kind === TYPE && name === IPIP_DEVICE,
  tunnel: () => TUNNEL,
};

interface IpipPeer extends RoutePeer {
  readonly isDirect?: boolean;
}

function ipipBackend(conf: IpipConf): Backend {
  return {
    type: TYPE,
    checkPlaces(places) {
      if (places.every(({ family }) => family === 4)) return;
      const problem = 'the backend ipip carries only IPv4, as flannel’s does; for IPv6 use vxlan, wireguard or host-gw';
      throw new ConfigError('net-conf', 'EnableIPv6', problem);
    },
    advertise: () => Promise.resolve({ backendType: TYPE }),
    overlays: ({ tools }, families) => families.map((settings) => ipipOverlay(conf, settings, tools)),
  };
}

function ipipOverlay(
  { directRouting }: IpipConf,
  settings: FamilySettings,
  tools: BackendTools,
): OverlaySpec<IpipPeer> {
  const { netlink, clock } = tools;
  const { subnet, network, local } = settings;
  const leaveFormer = leavingFormerBackend(netlink, network);
  return {
    name: IPIP_DEVICE,
    check: `device ${IPIP_DEVICE} and its peers`,
    settings,
    mtu: ipipMtu,
    ensureDevice(_, mtu, onChange) {
      const device = ensureIpipDevice(netlink, { local, mtu }, (request, was) => onChange('link', request, was));
      ensureOwnAddress(netlink, device, subnet.ip, network, (request, was) => onChange('address', request, was));
      leaveFormer(onChange);
      return device;
    },
    kinds: [route],
    tunnel: TUNNEL,
    objects: ipipObjects,
    plan: planner(routePlanner({ ...settings, types: [TYPE] }), directRouting ? new OnLink(netlink, clock) : undefined),
    followsRoutes: directRouting,
    ...(directRouting && { isDirect: ({ isDirect = false }: IpipPeer) => isDirect }),
  };
}

function ipipObjects({ subnet: destination, publicIp: gateway, isDirect = false }: IpipPeer): readonly WantedObject[] {
  return [wanted(route, { destination, gateway, by: isDirect ? 'underlay' : 'tunnel' })];
}

/** Returns the same plan while the peers, and which of them are on the link, are the same. */
function planner(peersOf: ReturnType<typeof routePlanner>, onLink: OnLink | undefined): OverlaySpec<IpipPeer>['plan'] {
  if (onLink === undefined) return peersOf;
  let known: { readonly from: Plan<RoutePeer>; readonly direct: object; readonly plan: Plan<IpipPeer> } | undefined;
  return async (snapshot, { place, isRerouted }) => {
    const from = peersOf(snapshot);
    const direct = await onLink.ask(from.peers.values(), place.underlay, isRerouted);
    if (known?.from !== from || known.direct !== direct) {
      known = { from, direct, plan: { ...from, peers: withDirect(from.peers, direct) } };
    }
    return known.plan;
  };
}
