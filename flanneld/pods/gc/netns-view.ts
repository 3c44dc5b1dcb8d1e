// Says what the agent may conclude from the path of a netns. It mostly runs in a container, where /proc is not the host's, and where
// a folder of namespaces that is mounted without propagation shows only what was there when the container started.

import { readMounts } from '../../../lib/pods/node-view.ts';
import { canonicalPath } from '../../../lib/pods/unexplained.ts';
import { lookAtNetns, type NetnsState } from '../../../lib/pods/verdict.ts';
import { statPath } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';

export interface NetnsView {
  /** Examines a netns by the path that the runtime knows. */
  readonly look: (path: string) => NetnsState;
  /** Why some pinned namespaces of the node may be invisible; undefined when all are visible. */
  readonly blind: string | undefined;
}

/** `folder` is where the runtime pins namespaces, /run/netns. Throws SysError. */
export function netnsView(sys: Syscalls, folder: string): NetnsView {
  const place = canonicalPath(folder);
  const doubt = doubtAbout(readMounts(sys), place);
  const isMissing = doubt !== undefined && statPath(sys, folder) === undefined;
  const blind = isMissing ? `there is no folder ${folder} in this container` : doubt;
  const look = (path: string): NetnsState => {
    const wanted = canonicalPath(path);
    // For such a path lookAtNetns returns that it proves nothing.
    if (wanted.startsWith('/proc/')) return lookAtNetns(sys, wanted);
    if (!wanted.startsWith(`${place}/`) || wanted.includes('/../')) {
      return { kind: 'unknown', why: `its netns ${path} is not in ${folder}` };
    }
    return blind === undefined
      ? lookAtNetns(sys, folder + wanted.slice(place.length))
      : { kind: 'unknown', why: blind };
  };
  return { look, blind };
}

/** Why the mount at `folder` may not show what the host has there now; undefined when it does. Pure. */
export function doubtAbout(mountinfo: string, folder: string): string | undefined {
  // If several mounts are at one place, only the last one is visible.
  let best: { readonly point: string; readonly follows: boolean } | undefined;
  for (const line of mountinfo.split('\n')) {
    // 36 35 98:0 /root /mount/point options [shared:1 master:2 …] - type source options
    const [, , , , point = '', , ...rest] = line.split(' ');
    const isAbove = folder === point || folder.startsWith(`${point}/`);
    // The root of a container is the image and says nothing about the host.
    if (point.length <= 1 || !isAbove || (best !== undefined && point.length < best.point.length)) continue;
    const optional = rest.slice(0, rest.indexOf('-'));
    best = { point, follows: optional.some((word) => /^(shared|master):/.test(word)) };
  }
  if (best?.follows === true) return undefined;
  return `${folder} is mounted without propagation, so it does not show new namespaces (set mountPropagation: HostToContainer)`;
}
