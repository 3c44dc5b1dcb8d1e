// Writes the same peers as two batch files for iproute2, with the commands an operator would type.

import { desired } from '../../flanneld/backend/vxlan/desired.ts';
import { VXLAN_KINDS, vxlanObjects } from '../../flanneld/backend/vxlan/vxlan-peers.ts';
import type { Place } from '../../flanneld/dataplane/objects/kind.ts';
import { actionOf } from '../../flanneld/dataplane/send-changes.ts';
import type { Lease } from '../../flanneld/subnet/manager.ts';
import { wholeCompare } from '../../test/support/whole-compare.ts';
import { overlayConfig } from './overlay.ts';

/** The lines for `ip -batch` and for `bridge -batch`. */
export interface BatchText {
  readonly ip: string;
  readonly bridge: string;
}

/** The batches for these leases. Routes use nexthop objects, as the agent's do, or are plain, as flannel's are. */
export function batchText(leases: ReadonlyMap<string, Lease>, place: Place, routes: 'nexthops' | 'plain'): BatchText {
  const foreignNexthopIds = routes === 'nexthops' ? new Set<number>() : undefined;
  const wanted = desired(leases, { ...overlayConfig, foreignNexthopIds });
  const nothing = { entries: () => [] };
  const lines: Record<'ip' | 'bridge', string[]> = { ip: [], bridge: [] };
  const peers = { kinds: VXLAN_KINDS, objects: vxlanObjects };
  for (const change of wholeCompare(wanted.peers, peers, place, nothing)) {
    const request = actionOf(change, place);
    const command = request.command?.() ?? '';
    const [program = '', ...words] = command.split(' ');
    if (program !== 'ip' && program !== 'bridge') throw new Error(`no command for ${request.describe()}: ${command}`);
    lines[program].push(words.filter((word) => !word.startsWith('-')).join(' '));
  }
  return { ip: `${lines.ip.join('\n')}\n`, bridge: `${lines.bridge.join('\n')}\n` };
}
