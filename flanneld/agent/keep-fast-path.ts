// Starts the fast path of this node where it is turned on, and removes it where it no longer is.

import { isBpffs } from '../../lib/bpf/pin.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { RESULTS_FOLDER } from '../../lib/pods/cached-result.ts';
import { PIN_FOLDER, PIN_ROOT } from '../../lib/pods/fast-path-pods.ts';
import type { Overlay } from '../backend/overlay.ts';
import type { Options } from '../cli/options.ts';
import { idleFilters } from '../fastpath/clsact-filters.ts';
import { FastPath } from '../fastpath/fast-path.ts';
import type { Tunnel } from '../fastpath/observe.ts';
import { removePins } from '../fastpath/pins.ts';
import { Policing } from '../fastpath/policing/policing.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import { podNetworkOf } from '../pods/gc/gc-command.ts';
import type { AgentTools } from './tools.ts';

export interface FastPathNeeds {
  readonly overlays: readonly Overlay[];
  readonly options: Options;
  readonly tools: AgentTools;
  readonly drift: DriftNotes;
  /** A connection to NETLINK_NETFILTER. */
  readonly netfilter: Netlink;
}

/** Undefined where it is off, and where the backend has none; then whatever an earlier agent left is removed. */
export function startFastPath({ overlays, options, tools, drift, netfilter }: FastPathNeeds): FastPath | undefined {
  const { sys, netlink, log, clock } = tools;
  const tunneled = overlays.filter(({ fastPath }) => fastPath !== undefined);
  const mode = options.fastPath ?? tunneled.map(({ fastPath }) => fastPath)[0] ?? 'off';
  const [first] = tunneled;
  if (mode === 'off' || first === undefined) {
    const [hadPins, filters] = [removePins(sys, PIN_FOLDER), idleFilters(netlink)];
    if (hadPins || filters.length > 0) log.info({ dir: PIN_FOLDER }, 'fast path of an earlier agent removed');
  }
  if (mode === 'off') return undefined;
  if (first === undefined) {
    log.warn({ backend: overlays[0]?.name }, 'this backend has no fast path, --fast-path has no effect');
    return undefined;
  }
  const hasPins = isBpffs(sys, PIN_ROOT);
  if (!hasPins) log.info({ dir: PIN_ROOT }, 'there is no bpffs, so the fast path ends with the agent');
  return new FastPath({
    mode,
    ...{ sys, netlink, log, clock, drift },
    tunnels: () => tunnelsOf(tunneled),
    place: () => first.place,
    podNetwork: () => podNetworkOf(sys, options),
    resultsFolder: `${options.cniStateDir}/${RESULTS_FOLDER}`,
    pinFolder: hasPins ? PIN_FOLDER : undefined,
    policing: new Policing({ sys, netlink, netfilter }, () => clock.now()),
  });
}

/** Undefined until each family has its device. */
function tunnelsOf(overlays: readonly Overlay[]): Tunnel[] | undefined {
  const tunnels = overlays.flatMap(({ family, subnet, place, mtuBytes: mtu }): Tunnel[] => {
    const tunnel = place?.tunnel;
    return tunnel === undefined || mtu === 0 ? [] : [{ family, subnet, ifindex: tunnel.index, dev: tunnel.name, mtu }];
  });
  return tunnels.length === overlays.length ? tunnels : undefined;
}
