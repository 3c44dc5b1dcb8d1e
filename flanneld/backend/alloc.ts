// The alloc backend: a lease, subnet.env and the firewall; how packets find other nodes is somebody else's business
// (flannel pkg/backend/alloc). What the kernel carries is left as it is.

import { type AnyOverlaySpec, type Backend, type FamilySettings, NOBODY } from './backend.ts';

export const alloc: Backend = {
  type: 'alloc',
  // flannel writes no type for it.
  advertise: () => Promise.resolve({ backendType: '' }),
  overlays: (_, families) => families.map((settings) => bareOverlay('alloc', settings)),
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
