// Finds the ports and pinned namespaces of a node that no known attachment explains: each may belong to a pod that no file records. Pure.

import type { CachedResult } from './cached-result.ts';
import { hostVethName } from './names.ts';
import type { NodeView, Pin, Port } from './node-view.ts';

/** A pod that may have a port, known from an address file, a saved configuration or a cached result. */
export interface Known {
  readonly containerId: string;
  readonly ifname: string;
  readonly cached: CachedResult | undefined;
  /** The names that its port may have: the one that our plugin gives, and those in the runtime's cache. */
  readonly ports: readonly string[];
}

export function knownAs(containerId: string, ifname: string, cached: CachedResult | undefined): Known {
  const own = containerId === '' ? [] : [hostVethName(containerId, ifname)];
  return { containerId, ifname, cached, ports: [...own, ...(cached?.hostInterfaces ?? [])] };
}

export interface Unexplained {
  readonly ports: readonly Port[];
  readonly pins: readonly Pin[];
}

/** /var/run is a link to /run. */
export function canonicalPath(path: string): string {
  return path.replace(/^\/var\/run\//, '/run/').replace(/\/+$/, '');
}

export function findUnexplained({ ports, pins }: NodeView, known: readonly Known[]): Unexplained {
  const names = new Set(known.flatMap((one) => one.ports));
  const isUnexplained = (port: Port): boolean => port.mayBePods && !names.has(port.name);
  // An entry that has only lo is not an attachment of a network.
  const given = known.filter(({ ifname }) => ifname !== 'lo').flatMap(({ cached }) => cached?.netns ?? []);
  const paths = new Set(given.map(canonicalPath));
  return {
    ports: ports.filter(isUnexplained),
    pins: pins.filter((pin) => !pin.paths.some((path) => paths.has(canonicalPath(path))) && !isJoined(pin)),
  };

  /** If at least one veth leads to the namespace and all such veths are explained, the namespace is explained too. */
  function isJoined({ netnsId }: Pin): boolean {
    const leading = netnsId === undefined ? [] : ports.filter((port) => port.netnsId === netnsId);
    return leading.length > 0 && !leading.some(isUnexplained);
  }
}
