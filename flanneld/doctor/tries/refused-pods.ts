// Whether rules of others refuse pods' forwarded packets. It uses the agent's own probe under other names, so that both can run at once.

import { formatIp } from '../../../lib/ip.ts';
import { statPath } from '../../../lib/sys/file.ts';
import { ForwardProbe } from '../../pods/refusal/forward-probe.ts';
import { DOCTOR_DEVICE } from '../../pods/refusal/inject.ts';
import { DOCTOR_TABLE } from '../../pods/refusal/trace.ts';
import type { PathFamily } from '../../pods/side/paths.ts';
import { type Draft, run } from '../draft.ts';
import type { View } from '../view/view.ts';
import type { TryTools } from './try-tools.ts';

/** A rule refuses one kind of packets from every peer, so a few peers are enough. */
const PEERS = 4;

export async function refusedPods(view: View, tools: TryTools): Promise<Draft[]> {
  const { bridge, families, underlay, pools, node } = view;
  if (bridge.link === undefined || bridge.ports.length === 0) return [];
  const folder = pools[0]?.folder;
  const probe = new ForwardProbe(
    (ip) => folder !== undefined && statPath(tools.sys, `${folder}/${formatIp(ip)}`) !== undefined,
    { ...tools, random: Math.random, probeDevice: DOCTOR_DEVICE, traceTable: DOCTOR_TABLE },
  );
  const paths = families.flatMap(({ network, subnet, peers, tunnel }): PathFamily[] =>
    subnet === undefined
      ? []
      : [
          {
            network,
            subnet,
            peers: peers.slice(0, PEERS).map((peer) => peer.subnet),
            device: tunnel?.link,
            underlay: underlay?.link,
          },
        ],
  );
  const findings = await probe.look(bridge.link, paths);
  return findings.map(({ problem, told }) => ({
    id: 'firewall-refuses-pods',
    cause: told?.cause ?? problem,
    evidence: told?.evidence ?? problem,
    fix: told === undefined || told.fix.startsWith('see ') ? `on ${node}: ${told?.fix ?? ''}` : run(node, told.fix),
  }));
}
