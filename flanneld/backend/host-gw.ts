// The host-gw backend has no tunnel and no device. It routes each peer's subnet to the peer's public IP over the external interface, so all
// nodes must be on that link (flannel pkg/backend/hostgw). Differs from flannel: it leaves routes of others alone, and restores and reports
// a peer's missing route at once.

import { ConfigError } from '../../lib/errors.ts';
import { formatIp, sameIp } from '../../lib/ip.ts';
import { wanted } from '../dataplane/objects/kind.ts';
import { route } from '../dataplane/objects/route.ts';
import type { Backend, BackendTools, BackendType, FamilySettings, OverlaySpec } from './backend.ts';
import { leavingFormerBackend } from './moving/former-routes.ts';
import { type RoutePeer, routePlanner } from './route-peer.ts';

const TYPE = 'host-gw';

export const hostGw: BackendType<undefined> = {
  type: TYPE,
  keys: {},
  readKeys: () => undefined,
  make: () => hostGwBackend,
};

const hostGwBackend: Backend = {
  type: TYPE,
  checkPlaces(places) {
    for (const { underlay, local, publicIp } of places) {
      if (sameIp(local, publicIp)) continue;
      const why = `the address to advertise is ${formatIp(publicIp)}, but ${underlay} has ${formatIp(local)}`;
      const problem = `host-gw needs nodes that reach each other without NAT: ${why}; use the backend vxlan`;
      throw new ConfigError('net-conf', 'Backend.Type', problem);
    }
  },
  advertise: () => Promise.resolve({ backendType: TYPE }),
  overlays: ({ tools }, families) => families.map((settings) => hostGwOverlay(settings, tools)),
};

function hostGwOverlay(settings: FamilySettings, { netlink }: BackendTools): OverlaySpec<RoutePeer> {
  const leaveFormer = leavingFormerBackend(netlink, settings.network);
  return {
    name: settings.family === 4 ? TYPE : `${TYPE}-v6`,
    check: `routes to IPv${settings.family} peers on ${settings.underlay}`,
    settings,
    mtu: (underlay) => underlay.mtu,
    ensureDevice(_, __, onChange) {
      leaveFormer(onChange);
      return undefined;
    },
    kinds: [route],
    objects: ({ subnet: destination, publicIp: gateway }) => [wanted(route, { destination, gateway, by: 'underlay' })],
    plan: routePlanner({ ...settings, types: [TYPE] }),
    followsRoutes: true,
    isDirect: () => true,
  };
}
