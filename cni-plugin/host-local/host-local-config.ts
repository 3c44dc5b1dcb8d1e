// What host-local reads: its `ipam` object, runtimeConfig.ipRanges and ips, args.cni.ips, CNI_ARGS IP (containernetworking/plugins
// plugins/ipam/host-local/backend/allocator/config.go).

import { errorText } from '../../lib/errors.ts';
import { type Ip, parseIp, parsePrefix } from '../../lib/ip.ts';
import { isJsonObject, type JsonValue } from '../../lib/json.ts';
import { parseCniArgs } from '../protocol/args.ts';
import { failure } from '../protocol/error.ts';
import { type Fields, listField, objectField, objectsField, stringField, stringsField } from '../protocol/fields.ts';
import type { Invocation } from '../protocol/plugin.ts';
import type { ResultRoute } from '../protocol/result.ts';
import { parseRoute } from '../protocol/result-parse.ts';
import { atLeast } from '../protocol/versions.ts';
import { checkDistinctSets, completeRangeSet, type RangeSet, readRange } from './ranges.ts';

/** The keys of `ipam` that host-local knows, in lower case; any other key belongs to somebody else's host-local. */
export const ipamKeys = [
  'type',
  'ranges',
  'subnet',
  'rangestart',
  'rangeend',
  'gateway',
  'routes',
  'datadir',
  'resolvconf',
] as const;

const DEFAULT_DATA_DIR = '/var/lib/cni/networks';

/** A requested address, with a prefix length when it was written with one. */
export interface RequestedIp {
  readonly ip: Ip;
  /** The text as it was written, for error messages. */
  readonly text: string;
}

export interface IpamConfig {
  readonly sets: readonly RangeSet[];
  readonly routes: readonly ResultRoute[];
  /** Folder of this network's address files. */
  readonly folder: string;
  readonly resolvConf: string;
  readonly requested: readonly RequestedIp[];
}

function ipamFields(invocation: Invocation): Fields {
  const ipam = objectField(invocation.root, 'ipam');
  if (ipam === undefined) throw failure("IPAM config missing 'ipam' key");
  return ipam;
}

function folderOf(ipam: Fields, network: string): string {
  return `${stringField(ipam, 'dataDir') || DEFAULT_DATA_DIR}/${network}`;
}

/**
 * Only the folder, which is all that releasing an address needs. Differs from host-local: a DEL does not fail because ranges or arguments
 * have changed since the ADD.
 */
export function storeFolder(invocation: Invocation): string {
  return folderOf(ipamFields(invocation), invocation.name);
}

/** The list of lists under `key`, each inner list the ranges of one set. */
function readSets(fields: Fields, key: string): Fields[][] {
  return listField(fields, key).map((set, at) => {
    if (!Array.isArray(set)) throw failure(`${key}[${at}]: expected a list of ranges`);
    return (set as readonly JsonValue[]).map((range) => {
      if (!isJsonObject(range)) throw failure(`${key}[${at}]: expected ranges, each an object with subnet`);
      return { path: '', object: range };
    });
  });
}

function gatherSets(ipam: Fields, runtime: Fields | undefined): readonly RangeSet[] {
  const raw = runtime === undefined ? [] : readSets(runtime, 'ipRanges');
  if (stringField(ipam, 'subnet') !== '') raw.push([ipam]);
  raw.push(...readSets(ipam, 'ranges'));
  if (raw.length === 0) throw failure('no IP ranges specified');
  // All texts are parsed before any of them is checked, as in Go.
  const sets = raw.map((ranges) => ranges.map(readRange)).map(completeRangeSet);
  checkDistinctSets(sets);
  return sets;
}

/** Results of versions before 0.3.0 can have only one address of each family. */
function checkFamilies(sets: readonly RangeSet[], version: string): void {
  if (atLeast(version, '0.3.0')) return;
  const count = (family: number): number => sets.filter((set) => set[0]?.start.family === family).length;
  if (count(4) > 1 || count(6) > 1) {
    throw failure(`CNI version ${version} does not support more than 1 address per family`);
  }
}

function parseRequested(text: string): RequestedIp {
  const ip = text.includes('/') ? parsePrefix(text).ip : parseIp(text);
  return { ip, text };
}

function requestedIps(invocation: Invocation, root: Fields, runtime: Fields | undefined): RequestedIp[] {
  const requested: RequestedIp[] = [];
  const fromArgs = parseCniArgs(invocation.args, ['IP']).get('IP') ?? '';
  if (fromArgs !== '') {
    try {
      requested.push(parseRequested(fromArgs));
    } catch {
      throw failure(`ARGS: error parsing value of pair "IP=${fromArgs}": invalid IP address ${fromArgs}`);
    }
  }
  const args = objectField(root, 'args');
  const cni = args === undefined ? undefined : objectField(args, 'cni');
  for (const source of [cni, runtime]) {
    if (source !== undefined) requested.push(...stringsField(source, 'ips').map(parseRequested));
  }
  return requested;
}

/** Reads and checks everything that an ADD needs. Throws CniError 999 with the Go plugin's texts. */
export function parseIpamConfig(invocation: Invocation): IpamConfig {
  const { root } = invocation;
  const ipam = ipamFields(invocation);
  const runtime = objectField(root, 'runtimeConfig');
  try {
    const requested = requestedIps(invocation, root, runtime);
    const sets = gatherSets(ipam, runtime);
    checkFamilies(sets, invocation.version);
    return {
      sets,
      routes: objectsField(ipam, 'routes').map(parseRoute),
      folder: folderOf(ipam, invocation.name),
      resolvConf: stringField(ipam, 'resolvConf'),
      requested,
    };
  } catch (thrown) {
    throw failure(errorText(thrown));
  }
}
