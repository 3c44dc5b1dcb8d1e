// The same state for iproute2: the commands an operator would type, as two batch files.

import { desired } from '../../flanneld/dataplane/desired.ts';
import { diff } from '../../flanneld/dataplane/diff.ts';
import { requestOf } from '../../flanneld/dataplane/requests.ts';
import type { Device, Observed } from '../../flanneld/dataplane/state.ts';
import type { Lease } from '../../flanneld/subnet/manager.ts';
import { overlayConfig } from './overlay.ts';

/** Lines for `ip -batch` and for `bridge -batch`. */
export interface BatchText {
  readonly ip: string;
  readonly bridge: string;
}

/** `routes`: through nexthop objects as the agent makes them, or plain ones as flannel does. */
export function batchText(leases: ReadonlyMap<string, Lease>, device: Device, routes: 'nexthops' | 'plain'): BatchText {
  const foreignNexthopIds = routes === 'nexthops' ? new Set<number>() : undefined;
  const wanted = desired(leases, { ...overlayConfig, foreignNexthopIds });
  const nothing: Observed = { device, neighs: [], fdb: [], nexthops: foreignNexthopIds && [], routes: [] };
  const lines: Record<'ip' | 'bridge', string[]> = { ip: [], bridge: [] };
  for (const change of diff(wanted.peers, nothing)) {
    const request = requestOf(change, device);
    const command = request.command?.() ?? '';
    const [program = '', ...words] = command.split(' ');
    if (program !== 'ip' && program !== 'bridge') throw new Error(`no command for ${request.describe()}: ${command}`);
    lines[program].push(words.filter((word) => !word.startsWith('-')).join(' '));
  }
  return { ip: `${lines.ip.join('\n')}\n`, bridge: `${lines.bridge.join('\n')}\n` };
}
