// Which backends there are.

import type { BackendConf } from '../../lib/backend-conf.ts';
import { ConfigError } from '../../lib/errors.ts';
import { alloc } from './alloc.ts';
import type { Backend } from './backend.ts';
import { extensionBackend } from './extension/extension.ts';
import { hostGw } from './host-gw.ts';
import { udpBackend } from './udp/udp.ts';
import { vxlanBackend } from './vxlan/vxlan.ts';

/** Flannel's backends that are not ours, and what to take. */
const INSTEAD: Readonly<Record<'wireguard' | 'ipip' | 'ipsec' | 'tencent-vpc', string>> = {
  wireguard: 'vxlan over an encrypted underlay (WireGuard or IPsec between the nodes, made by somebody else)',
  ipsec: 'vxlan over an encrypted underlay (WireGuard or IPsec between the nodes, made by somebody else)',
  ipip: 'vxlan, with "DirectRouting": true for nodes on one link',
  'tencent-vpc': 'alloc with routes of the cloud’s own controller, or vxlan',
};

/** How each backend is made from its part of net-conf. A new one is a file of its own and a line here. */
type Registry = { readonly [Type in OwnConf['type']]: (conf: Extract<OwnConf, { readonly type: Type }>) => Backend };
type OwnConf = Exclude<BackendConf, { readonly type: keyof typeof INSTEAD }>;

const BACKENDS: Registry = {
  vxlan: vxlanBackend,
  'host-gw': () => hostGw,
  alloc: () => alloc,
  extension: extensionBackend,
  udp: udpBackend,
};

/** The backend that net-conf names, also of those in `more`. Throws ConfigError for one that Weft has not. */
export function backendFor(
  conf: { readonly type: string },
  more: Readonly<Record<string, (conf: never) => Backend>> = {},
): Backend {
  const { type } = conf;
  const make = new Map<string, (conf: never) => Backend>(Object.entries({ ...BACKENDS, ...more })).get(type);
  if (make !== undefined) return make(conf as never);
  const instead = new Map(Object.entries(INSTEAD)).get(type) ?? 'vxlan';
  throw new ConfigError('net-conf', 'Backend.Type', `Weft has no backend ${type}; instead of it: ${instead}`);
}
