// Which backends there are.

import type { BackendConf } from '../../lib/backend-conf.ts';
import { ConfigError } from '../../lib/errors.ts';
import { alloc } from './alloc.ts';
import type { Backend } from './backend.ts';
import { extensionBackend } from './extension.ts';
import { hostGw } from './host-gw.ts';
import { udpBackend } from './udp.ts';
import { vxlanBackend } from './vxlan-backend.ts';

/** Flannel's backends that are not ours, and what to take. */
const INSTEAD: Readonly<Record<'wireguard' | 'ipip' | 'ipsec' | 'tencent-vpc', string>> = {
  wireguard: 'vxlan over an encrypted underlay (WireGuard or IPsec between the nodes, made by somebody else)',
  ipsec: 'vxlan over an encrypted underlay (WireGuard or IPsec between the nodes, made by somebody else)',
  ipip: 'vxlan, with "DirectRouting": true for nodes on one link',
  'tencent-vpc': 'alloc with routes of the cloud’s own controller, or vxlan',
};

/** The backend that net-conf names. Throws ConfigError for one of flannel's that is not ours. */
export function backendFor(conf: BackendConf): Backend {
  switch (conf.type) {
    case 'vxlan':
      return vxlanBackend(conf);
    case 'host-gw':
      return hostGw;
    case 'alloc':
      return alloc;
    case 'extension':
      return extensionBackend(conf);
    case 'udp':
      return udpBackend(conf);
    default:
      throw new ConfigError(
        'net-conf',
        'Backend.Type',
        `Weft has no backend ${conf.type}; instead of it: ${INSTEAD[conf.type]}`,
      );
  }
}
