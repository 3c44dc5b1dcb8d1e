// What the agent may conclude from a path of a netns. It mostly runs in a container: the host's /proc is not its own, and
// a folder of namespaces that is mounted without propagation shows what was there when the container started.

import { lookAtNetns, type NetnsState } from '../../../lib/pods/verdict.ts';
import { readText, statPath } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';

const MOUNTINFO = '/proc/self/mountinfo';
const MOUNTINFO_LIMIT_BYTES = 16 * 1024 * 1024;

/** Looks at a netns by its path. */
export type NetnsView = (path: string) => NetnsState;

/** `folder` is where the runtime pins namespaces, /run/netns. Throws SysError. */
export function netnsView(sys: Syscalls, folder: string): NetnsView {
  const place = canonical(folder);
  const doubt =
    statPath(sys, folder) === undefined
      ? `there is no ${folder} here`
      : doubtAbout(readText(sys, MOUNTINFO, MOUNTINFO_LIMIT_BYTES), place);
  return (path) => {
    const wanted = canonical(path);
    if (!wanted.startsWith(`${place}/`) || wanted.includes('/../')) {
      return { kind: 'unknown', why: `its netns ${path} is not in ${folder}` };
    }
    return doubt === undefined
      ? lookAtNetns(sys, folder + wanted.slice(place.length))
      : { kind: 'unknown', why: doubt };
  };
}

/** /var/run is a link to /run. */
function canonical(path: string): string {
  return path.replace(/^\/var\/run\//, '/run/').replace(/\/+$/, '');
}

/** Why what is mounted at `folder` may not be what the host has there now; undefined when it is. Pure. */
export function doubtAbout(mountinfo: string, folder: string): string | undefined {
  // Of several mounts at one place the last one is seen.
  let best: { readonly point: string; readonly follows: boolean } | undefined;
  for (const line of mountinfo.split('\n')) {
    // 36 35 98:0 /root /mount/point options [shared:1 master:2 …] - type source options
    const [, , , , point = '', , ...rest] = line.split(' ');
    const isAbove = folder === point || folder.startsWith(`${point}/`);
    // What lies in the root of a container is the image's.
    if (point.length <= 1 || !isAbove || (best !== undefined && point.length < best.point.length)) continue;
    const optional = rest.slice(0, rest.indexOf('-'));
    best = { point, follows: optional.some((word) => /^(shared|master):/.test(word)) };
  }
  if (best?.follows === true) return undefined;
  return `${folder} would not show new namespaces: mounted without propagation (mountPropagation: HostToContainer)`;
}
