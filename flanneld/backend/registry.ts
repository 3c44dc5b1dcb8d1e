// The list of backends.

import type { BackendConf } from '../../lib/backend-conf.ts';
import { ConfigError } from '../../lib/errors.ts';
import { alloc } from './alloc.ts';
import type { Backend } from './backend.ts';
import { extensionBackend } from './extension/extension.ts';
import { hostGw } from './host-gw.ts';
import { udpBackend } from './udp/udp.ts';
import { vxlanBackend } from './vxlan/vxlan.ts';

/** flannel's backends that Weft does not have, and what to use instead. */
const INSTEAD: Readonly<Record<'wireguard' | 'ipip' | 'ipsec' | 'tencent-vpc', string>> = {
  wireguard: 'vxlan over an encrypted underlay (WireGuard or IPsec between the nodes, made by somebody else)',
  ipsec: 'vxlan over an encrypted underlay (WireGuard or IPsec between the nodes, made by somebody else)',
  ipip: 'vxlan, with "DirectRouting": true for nodes on one link',
  'tencent-vpc': 'alloc with routes of the cloud’s own controller, or vxlan',
};

/** Functions that make each backend from its part of net-conf. A new backend needs its own file and a line here. */
type Registry = { readonly [Type in OwnConf['type']]: (conf: Extract<OwnConf, { readonly type: Type }>) => Backend };
type OwnConf = Exclude<BackendConf, { readonly type: keyof typeof INSTEAD }>;

const BACKENDS: Registry = {
  vxlan: vxlanBackend,
  'host-gw': () => hostGw,
  alloc: () => alloc,
  extension: extensionBackend,
  udp: udpBackend,
};

/** The backend that net-conf names, from the list or from `more`. Throws ConfigError for one that Weft does not have. */
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
