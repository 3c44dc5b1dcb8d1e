// Saves for which peers the extension's commands have run, in a file that lasts until the next boot. So a restarted agent does not run them
// twice, and removes peers that left meanwhile.

import { dirname, join } from 'node:path';
import { errorText } from '../../../lib/errors.ts';
import { isJsonObject, jsonObject, stringifyJson } from '../../../lib/json.ts';
import { parsePlace, readList, readString, rootPlace } from '../../../lib/json-fields.ts';
import { atomicReplace, makeDirs, readTextIfPresent } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { Logger } from '../../health/log.ts';

/** A peer, with what its commands get. */
export interface ExtensionPeer {
  /** `SUBNET`, `PUBLIC_IP`, `IPV6SUBNET`, `PUBLIC_IPV6`, empty where the peer has none. */
  readonly variables: Readonly<Record<PeerVariable, string>>;
  /** The output of the peer's PreStartupCommand. */
  readonly data: string;
}

export const peerVariables = ['SUBNET', 'IPV6SUBNET', 'PUBLIC_IP', 'PUBLIC_IPV6'] as const;
export type PeerVariable = (typeof peerVariables)[number];

const MAX_BYTES = 16 * 1024 * 1024;

/** The file's name in the state folder. */
export const EXTENSION_STATE_FILE = 'weft-extension.json';

export function extensionStateFile(folder: string): string {
  return join(folder, EXTENSION_STATE_FILE);
}

/** The peers by lease key; empty when the file is missing or unreadable. */
export function readExtensionState(sys: Syscalls, file: string, log: Logger): Map<string, ExtensionPeer> {
  const peers = new Map<string, ExtensionPeer>();
  try {
    const text = readTextIfPresent(sys, file, MAX_BYTES);
    if (text === undefined) return peers;
    const root = parsePlace('extension state', text);
    for (const item of readList(root, 'Peers') ?? []) {
      if (!isJsonObject(item)) continue;
      const place = rootPlace(root.source, item);
      const of = (name: string): string => readString(place, name) ?? '';
      const variables = {
        SUBNET: of('SUBNET'),
        IPV6SUBNET: of('IPV6SUBNET'),
        PUBLIC_IP: of('PUBLIC_IP'),
        PUBLIC_IPV6: of('PUBLIC_IPV6'),
      };
      peers.set(of('Key'), { variables, data: of('Data') });
    }
  } catch (error) {
    log.warn({ file, err: errorText(error) }, 'saved peers of the extension ignored');
  }
  return peers;
}

/** Throws SysError. */
export function writeExtensionState(sys: Syscalls, file: string, peers: ReadonlyMap<string, ExtensionPeer>): void {
  const rows = [...peers].map(([key, { variables, data }]) => jsonObject({ Key: key, ...variables, Data: data }));
  makeDirs(sys, dirname(file), 0o755);
  atomicReplace(sys, file, `${stringifyJson(jsonObject({ Peers: rows }))}\n`, 0o600, { durable: false });
}
