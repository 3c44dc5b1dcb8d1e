// What a runtime remembers of an attachment: libcni's cache, one file `<network>-<container>-<interface>` with the
// netns it was given and the result of its ADD (containernetworking/cni libcni/api.go, kind cniCacheV1).

import { field, isJsonObject, type JsonObject, type JsonValue, parseJson } from '../json.ts';
import { readForeignText } from '../sys/foreign-file.ts';
import type { Syscalls } from '../sys/syscalls.ts';

/** Where libcni keeps it, below the folder for state of CNI. */
export const RESULTS_FOLDER = 'results';
const LIMIT_BYTES = 4 * 1024 * 1024;

export interface CachedResult {
  /** Path of the netns the pod was given. */
  readonly netns: string;
  /** Devices on the node that are part of the result: the host end of the veth, and the bridge. */
  readonly hostInterfaces: readonly string[];
  /** MACs of its devices in the pod, lower case. */
  readonly podMacs: readonly string[];
}

/** Undefined where there is none, it cannot be read, or it names no netns: then nothing is known. */
export function readCachedResult(
  sys: Syscalls,
  folder: string,
  network: string,
  containerId: string,
  ifname: string,
): CachedResult | undefined {
  // An interface or container of no name, or one that leaves the folder, is in nobody's cache.
  if (containerId === '' || ifname === '' || `${containerId}${ifname}`.includes('/')) return undefined;
  try {
    const read = readForeignText(sys, `${folder}/${network}-${containerId}-${ifname}`, LIMIT_BYTES);
    return typeof read === 'object' ? parseCachedResult(read.text) : undefined;
  } catch {
    return undefined;
  }
}

/** Throws JsonError. */
export function parseCachedResult(text: string): CachedResult | undefined {
  const root = parseJson(text);
  const netns = textIn(root, 'netns');
  if (!isJsonObject(root) || netns === undefined) return undefined;
  const result = field(root, 'result');
  const listed = isJsonObject(result) ? field(result, 'interfaces') : undefined;
  const interfaces = (Array.isArray(listed) ? listed : []).filter(isJsonObject);
  const hostInterfaces: string[] = [];
  const podMacs: string[] = [];
  for (const each of interfaces) {
    if (textIn(each, 'sandbox') === undefined) hostInterfaces.push(textIn(each, 'name') ?? '');
    else podMacs.push((textIn(each, 'mac') ?? '').toLowerCase());
  }
  return { netns, hostInterfaces, podMacs };
}

/** A text that says something. */
function textIn(value: JsonValue | JsonObject, key: string): string | undefined {
  const found = isJsonObject(value) ? field(value, key) : undefined;
  return typeof found === 'string' && found !== '' ? found : undefined;
}
