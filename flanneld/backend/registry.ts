// The list of backends, and the choice of the one that a network configuration names.

import { ConfigError } from '../../lib/errors.ts';
import { readString } from '../../lib/json-fields.ts';
import { type NetConf, warnUnknown } from '../../lib/net-conf.ts';
import type { Link } from '../../lib/rtnetlink/link.ts';
import { alloc } from './alloc.ts';
import type { AnyBackendType, Backend } from './backend.ts';
import { extension } from './extension/extension.ts';
import { hostGw } from './host-gw.ts';
import { ipip } from './ipip/ipip.ts';
import { udp } from './udp/udp.ts';
import { vxlan } from './vxlan/vxlan.ts';
import { wireguard } from './wireguard/wireguard.ts';

/** A new backend needs its own file and its name here. */
export const BACKENDS: readonly AnyBackendType[] = [vxlan, hostGw, wireguard, ipip, udp, alloc, extension];

/** The backend, in Weft or flannel, that makes this device; undefined for a device of somebody else. */
export function backendOfDevice(link: Link): AnyBackendType | undefined {
  return BACKENDS.find((backend) => backend.ownsDevice?.(link) === true);
}

/** Why Weft has no such backend, and what to use instead. */
interface Refused {
  readonly why: string;
  readonly instead: string;
}

const CLOUD_ROUTES: Refused = {
  why: 'it writes into the cloud’s route table, for which each node would need the cloud’s credentials',
  instead: 'vxlan, or alloc when the cloud’s own controller sets the routes',
};

/** The backends of flannel that Weft does not have; flannel itself removed those of AWS, Google and Alibaba in 0.20. */
const REFUSED: ReadonlyMap<string, Refused> = new Map([
  [
    'ipsec',
    { why: 'it needs strongSwan’s daemon on each node to agree on keys', instead: 'wireguard, which encrypts as well' },
  ],
  ...['tencent-vpc', 'aws-vpc', 'gce', 'ali-vpc'].map((type) => [type, CLOUD_ROUTES] as const),
]);

/** The backend part of net-conf.json. */
export interface ChosenBackend {
  readonly type: string;
  /** What the backend has read from its keys. */
  readonly conf: unknown;
  /** One line each: which key is ignored, and which was probably meant. */
  readonly warnings: readonly string[];
  make(): Backend;
}

/** Finds the backend that net-conf names and lets it read its keys. Throws ConfigError. */
export function chooseBackend(
  config: Pick<NetConf, 'backend' | 'enableIpv6'>,
  backends: readonly AnyBackendType[] = BACKENDS,
): ChosenBackend {
  const { type, place } = config.backend;
  const found = backends.find((one) => one.type === type);
  if (found === undefined) throw unknownBackend(config.backend, backends);
  const warnings = warnUnknown(place, ['Type', ...Object.keys(found.keys)]);
  const conf = found.readKeys(place, config);
  return { type: found.type, conf, warnings, make: () => found.make(conf) };
}

function unknownBackend({ type, place }: NetConf['backend'], backends: readonly AnyBackendType[]): ConfigError {
  const refused = type === undefined ? undefined : REFUSED.get(type);
  if (refused !== undefined) {
    const { why, instead } = refused;
    return new ConfigError(place.source, 'Backend.Type', `Weft has no backend ${type}: ${why}; use ${instead}`);
  }
  const expected = `expected one of ${backends.map((one) => one.type).join(', ')}`;
  const given = readString(place, 'Type');
  const got =
    given === undefined ? `${expected}, but the key is missing` : `${JSON.stringify(given.slice(0, 64))}, ${expected}`;
  return new ConfigError(place.source, 'Backend.Type', `unknown backend type: ${got}`);
}
