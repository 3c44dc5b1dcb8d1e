// The key `MoveTo` of the vxlan backend: the Backend section that the cluster will use when all nodes can.

import { ConfigError } from '../../../lib/errors.ts';
import { joinPath } from '../../../lib/json.ts';
import { fieldError, type JsonPlace, readObject, readString, unknownKeys } from '../../../lib/json-fields.ts';
import type { KeyDoc } from '../../../lib/key-doc.ts';
import { readWireguardKeys, WIREGUARD_TYPE, type WireguardConf, wireguardKeys } from '../wireguard/wireguard-conf.ts';

const MOVE_TO = 'MoveTo';

export const moveToDoc: KeyDoc = {
  type: 'object',
  help: 'the Backend section of wireguard to which the cluster moves node by node, without an outage (see "Moving a cluster to WireGuard"); absent: it stays',
};

/** Undefined when the key is absent. Throws ConfigError. */
export function readMoveTo(place: JsonPlace, family: { readonly enableIpv6: boolean }): WireguardConf | undefined {
  const section = readObject(place, MOVE_TO);
  if (section === undefined) return undefined;
  const type = readString(section, 'Type');
  if (type?.toLowerCase() !== WIREGUARD_TYPE) throw fieldError(section, 'Type', `"${WIREGUARD_TYPE}"`, type ?? null);
  const [unknown] = unknownKeys(section, ['Type', ...Object.keys(wireguardKeys)]);
  if (unknown !== undefined) {
    const allowed = Object.keys(wireguardKeys).join(', ');
    throw new ConfigError(section.source, unknown, `unknown key: expected Type and keys of wireguard: ${allowed}`);
  }
  const conf = readWireguardKeys(section, family);
  // In the other modes one device carries both families, but in a move each family changes on its own.
  if (conf.mode === 'separate') return conf;
  const where = joinPath(section.path, 'Mode');
  throw new ConfigError(section.source, where, `expected "separate" while a cluster moves, got "${conf.mode}"`);
}
