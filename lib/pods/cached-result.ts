// The runtime's cached result of an attachment: libcni keeps one file `<network>-<container>-<interface>` with the result of the ADD and,
// from libcni 1.2 on, the netns that it was given (containernetworking/cni libcni/api.go, kind cniCacheV1). Before libcni 0.8 the file was
// the bare result. containerd 1.6 in Debian 12 writes no netns; there the result's `sandbox` has it.

import { formatIp, parsePrefix } from '../ip.ts';
import { field, isJsonObject, type JsonObject, type JsonValue, parseJson } from '../json.ts';
import { listDir } from '../sys/file.ts';
import { readForeignText } from '../sys/foreign-file.ts';
import type { Syscalls } from '../sys/syscalls.ts';

/** The folder of libcni's cache, below the folder for CNI's state. */
export const RESULTS_FOLDER = 'results';
const LIMIT_BYTES = 4 * 1024 * 1024;

export interface CachedResult {
  /** '' when the file does not contain it (libcni before 0.8). */
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  /** The paths of the netns that the pod was given, without duplicates. There is one, unless a plugin of the chain reports another. */
  readonly netns: readonly string[];
  /** Devices on the node that are part of the result: the host end of the veth, and the bridge. */
  readonly hostInterfaces: readonly string[];
  /** The MACs of its devices in the pod, in lower case. */
  readonly podMacs: readonly string[];
  /** Its addresses, as formatIp spells them. */
  readonly ips: readonly string[];
  /** `namespace/name` of the pod, if the runtime passed it to the plugins (CNI_ARGS of Kubernetes). */
  readonly podName?: string;
}

/** Returns undefined when there is no result or it cannot be read, so that nothing is known. */
export function readCachedResult(
  sys: Syscalls,
  folder: string,
  network: string,
  containerId: string,
  ifname: string,
): CachedResult | undefined {
  // An empty name, or one that leads out of the folder, is in no cache.
  if (containerId === '' || ifname === '' || `${containerId}${ifname}`.includes('/')) return undefined;
  return readFile(sys, `${folder}/${cachedResultName(network, containerId, ifname)}`);
}

/** The name of an attachment's file in the runtime's cache. */
export function cachedResultName(network: string, containerId: string, ifname: string): string {
  return `${network}-${containerId}-${ifname}`;
}

/** All cached results except those of lo, for all networks, by the names of their files. Unreadable ones are left out. */
export function listCachedResults(sys: Syscalls, folder: string): Map<string, CachedResult> {
  const found = new Map<string, CachedResult>();
  for (const name of namesIn(sys, folder)) {
    const cached = name.endsWith('-lo') ? undefined : readFile(sys, `${folder}/${name}`);
    if (cached !== undefined) found.set(name, cached);
  }
  return found;
}

function namesIn(sys: Syscalls, folder: string): string[] {
  try {
    return listDir(sys, folder) ?? [];
  } catch {
    return [];
  }
}

function readFile(sys: Syscalls, path: string): CachedResult | undefined {
  try {
    const read = readForeignText(sys, path, LIMIT_BYTES);
    return typeof read === 'object' ? parseCachedResult(read.text) : undefined;
  } catch {
    return undefined;
  }
}

/** Returns undefined when it is not an object. Throws JsonError. */
export function parseCachedResult(text: string): CachedResult | undefined {
  const root = parseJson(text);
  if (!isJsonObject(root)) return undefined;
  const kept = field(root, 'result');
  const result = isJsonObject(kept) ? kept : root;
  const interfaces = objectsIn(result, 'interfaces');
  const inPod = interfaces.filter((each) => textIn(each, 'sandbox') !== undefined);
  const onNode = interfaces.filter((each) => textIn(each, 'sandbox') === undefined);
  const netns = [textIn(root, 'netns'), ...inPod.map((each) => textIn(each, 'sandbox'))];
  const podName = podNameIn(root);
  return {
    network: textIn(root, 'networkName') ?? '',
    containerId: textIn(root, 'containerId') ?? '',
    ifname: textIn(root, 'ifName') ?? '',
    netns: [...new Set(netns)].filter((path) => path !== undefined),
    hostInterfaces: onNode.map((each) => textIn(each, 'name') ?? ''),
    podMacs: inPod.map((each) => (textIn(each, 'mac') ?? '').toLowerCase()),
    ips: addressesIn(result),
    ...(podName !== undefined && { podName }),
  };
}

/** libcni keeps CNI_ARGS as pairs: `["K8S_POD_NAME", "web-1"]`. */
function podNameIn(root: JsonObject): string | undefined {
  const args = field(root, 'cniArgs');
  const argument = (name: string): JsonValue | undefined => {
    const pairs = Array.isArray(args) ? args.filter((pair) => Array.isArray(pair)) : [];
    return pairs.find(([key]) => key === name)?.[1];
  };
  const name = argument('K8S_POD_NAME');
  const namespace = argument('K8S_POD_NAMESPACE');
  return typeof name === 'string' && typeof namespace === 'string' ? `${namespace}/${name}` : undefined;
}

/** The addresses in `ips`, or in `ip4` and `ip6`, which results had before 0.3.0. */
function addressesIn(result: JsonObject): string[] {
  const old = (['ip4', 'ip6'] as const).map((key) => textIn(field(result, key), 'ip'));
  const listed = objectsIn(result, 'ips').map((each) => textIn(each, 'address'));
  return [...listed, ...old].flatMap((text) => (text === undefined ? [] : addressOf(text)));
}

function addressOf(text: string): string[] {
  try {
    return [formatIp(parsePrefix(text).ip)];
  } catch {
    return [];
  }
}

function objectsIn(object: JsonObject, key: string): JsonObject[] {
  const listed = field(object, key);
  return (Array.isArray(listed) ? listed : []).filter(isJsonObject);
}

/** The text under a key; undefined when it is empty or not a text. */
function textIn(value: JsonValue | JsonObject | undefined, key: string): string | undefined {
  const found = isJsonObject(value) ? field(value, key) : undefined;
  return typeof found === 'string' && found !== '' ? found : undefined;
}
