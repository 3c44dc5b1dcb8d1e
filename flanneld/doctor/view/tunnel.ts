// The tunnel of one family on this node, as its backend describes it: from the agent's report, else from the configuration, else from the
// device that exists. A pure function.

import type { Family } from '../../../lib/ip.ts';
import { jsonObject } from '../../../lib/json.ts';
import type { NetConf } from '../../../lib/net-conf.ts';
import type { Link } from '../../../lib/rtnetlink/link.ts';
import type { AnyBackendType } from '../../backend/backend.ts';
import { BACKENDS } from '../../backend/registry.ts';
import { vxlanDeviceName } from '../../backend/vxlan/vxlan-device.ts';
import type { TunnelWay } from '../../dataplane/tunnel-way.ts';
import type { OverlayStatus } from '../../health/status/report.ts';
import type { TunnelFacts } from './facts.ts';

export interface TunnelSources {
  readonly conf: NetConf | undefined;
  readonly links: readonly Link[];
  /** The running agent's report of the family. */
  readonly overlay: OverlayStatus | undefined;
}

/** Undefined for a backend without a tunnel in the kernel. */
export function tunnelOf(type: string, family: Family, sources: TunnelSources): TunnelFacts | undefined {
  const backend = BACKENDS.find((one) => one.type === type);
  const way = backend && wayOf(backend, family, sources.conf);
  if (backend === undefined || way === undefined) return undefined;
  const { overlay, links } = sources;
  const owned = links.filter((link) => backend.ownsDevice?.(link) === true);
  const present = owned.find(({ name, vxlan }) =>
    vxlan === undefined ? name === way.spec.device : name === vxlanDeviceName(family, vxlan.vni),
  );
  const device = nameOf(way, overlay, present, owned);
  const vni = overlay?.vni ?? (way.isConfigured ? way.spec.vni : (present?.vxlan?.vni ?? way.spec.vni));
  const port = overlay?.port ?? (way.isConfigured ? way.spec.port : (present?.vxlan?.port ?? way.spec.port));
  const numbers = { ...(vni !== undefined && { vni }), ...(port !== undefined && { port }) };
  return { ...way.spec, ...numbers, device, link: links.find(({ name }) => name === device) };
}

/** An overlay that shares the device of another family has a name that no device has. */
function nameOf(way: Way, overlay: OverlayStatus | undefined, present: Link | undefined, owned: readonly Link[]) {
  const told = overlay?.device;
  if (told !== undefined && (overlay?.vni !== undefined || owned.some(({ name }) => name === told))) return told;
  return way.isConfigured ? way.spec.device : (present?.name ?? way.spec.device);
}

interface Way {
  readonly spec: TunnelWay;
  /** Whether the configuration has these values; else they are defaults. */
  readonly isConfigured: boolean;
}

function wayOf(backend: AnyBackendType, family: Family, conf: NetConf | undefined): Way | undefined {
  const configured = conf?.backend.type === backend.type ? specIn(backend, family, conf.backend.place) : undefined;
  if (configured !== undefined) return { spec: configured, isConfigured: true };
  const spec = specIn(backend, family, { source: 'the defaults', path: 'Backend', object: jsonObject({}) });
  return spec && { spec, isConfigured: false };
}

/** Also undefined for a wrong key, which the agent reports when it starts. */
function specIn(backend: AnyBackendType, family: Family, place: NetConf['backend']['place']): TunnelWay | undefined {
  try {
    return backend.tunnel?.(backend.readKeys(place, { enableIpv6: family === 6 }), family);
  } catch {
    return undefined;
  }
}
