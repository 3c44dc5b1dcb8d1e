// The vxlan backend at the start of the agent: which MAC each VTEP has, what the lease says of it, the overlays.

import type { VxlanConf } from '../../lib/backend-conf.ts';
import type { Family } from '../../lib/ip.ts';
import type { Mac } from '../../lib/mac.ts';
import { getLink } from '../../lib/rtnetlink/link.ts';
import type { Advertised, Backend, BackendStart, FamilyPlace } from './backend.ts';
import { chooseVtepMac } from './vtep-mac.ts';
import { backendDataFor, VxlanOverlay } from './vxlan.ts';
import { vxlanDeviceName } from './vxlan-device.ts';

export function vxlanBackend(conf: VxlanConf): Backend {
  const macs = new Map<Family, Mac>();
  return {
    type: 'vxlan',
    advertise(start) {
      for (const place of start.places) macs.set(place.family, macFor(place, conf, start));
      return Promise.resolve(advertised(conf, macs));
    },
    overlays: ({ tools }, families) =>
      families.flatMap((settings) => {
        const mac = macs.get(settings.family);
        return mac === undefined ? [] : [new VxlanOverlay({ ...settings, conf, mac }, tools)];
      }),
  };
}

function advertised(conf: VxlanConf, macs: ReadonlyMap<Family, Mac>): Advertised {
  const [mac4, mac6] = [macs.get(4), macs.get(6)];
  return {
    backendType: 'vxlan',
    ...(mac4 && { backendData: backendDataFor(conf.vni, mac4) }),
    ...(mac6 && { backendV6Data: backendDataFor(conf.vni, mac6) }),
  };
}

function macFor({ family, publicIp }: FamilyPlace, conf: VxlanConf, { snapshot, tools }: BackendStart): Mac {
  const { leases, ownKey } = snapshot;
  const device = getLink(tools.netlink, { name: vxlanDeviceName(family, conf.vni) });
  const existing = device?.kind === 'vxlan' ? device.mac : undefined;
  return chooseVtepMac({ family, leases, ownKey, publicIp, existing, random: tools.randomMac });
}
