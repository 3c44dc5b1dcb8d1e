// The alloc backend gives the node a lease, subnet.env and the firewall. Somebody else routes packets to other nodes, so it
// changes no devices and no routes to peers (flannel pkg/backend/alloc).

import { type AnyOverlaySpec, type BackendType, type FamilySettings, NOBODY } from './backend.ts';

const TYPE = 'alloc';

export const alloc: BackendType<undefined> = {
  type: TYPE,
  keys: {},
  readKeys: () => undefined,
  make: () => ({
    type: TYPE,
    // flannel writes an empty type for this backend.
    advertise: () => Promise.resolve({ backendType: '' }),
    overlays: (_, families) => families.map((settings) => bareOverlay(TYPE, settings)),
  }),
};

/** A subnet and the external interface's MTU, without any way to other nodes. */
export function bareOverlay(type: string, settings: FamilySettings): AnyOverlaySpec {
  return {
    name: settings.family === 4 ? type : `${type}-v6`,
    check: `IPv${settings.family} subnet over ${settings.underlay}`,
    settings,
    kinds: [],
    objects: () => [],
    mtu: (underlay) => underlay.mtu,
    plan: () => NOBODY,
  };
}
