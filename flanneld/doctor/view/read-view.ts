// Reads the whole view, everything once. Only here, in the files beside it and in the probes does the doctor touch the node.

import { hostname } from 'node:os';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import type { Link } from '../../../lib/rtnetlink/link.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { Options } from '../../cli/options.ts';
import { podNetworkOf } from '../../pods/gc/gc-command.ts';
import { type AgentProcess, agentFacts } from './agent-facts.ts';
import { clusterFacts } from './cluster-facts.ts';
import { familiesOf } from './families.ts';
import { kernelFacts, readSysctls, subnetEnvFacts } from './node-facts.ts';
import { Reads } from './reads.ts';
import type { FamilyFacts, UnderlayFacts, View } from './view.ts';

export interface ViewTools {
  readonly sys: Syscalls;
  readonly netlink: Netlink;
}

/** Sysctls that are no device's own. */
const SYSCTLS = ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding', 'net.ipv4.conf.all.rp_filter'];

/** Never rejects: what could not be read is in `failures`. */
export async function readView(
  options: Options,
  processes: readonly AgentProcess[],
  { sys, netlink }: ViewTools,
): Promise<View> {
  const reads = new Reads();
  const agent = await agentFacts(options.subnetFile, processes);
  const node = agent.state === 'answers' ? agent.report.node : (options.nodeName ?? hostname());
  const { conf, leases, saved } = await clusterFacts(options, node, agent, sys, reads);
  const kernel = kernelFacts(netlink, reads);
  const links = kernel?.links ?? [];
  const subnetEnv = subnetEnvFacts(sys, options.subnetFile);
  const families = familiesOf({ agent, conf, snapshot: leases?.snapshot, saved: saved?.own, subnetEnv, links });
  const underlay = underlayOf(agent, families, links, options);
  const bridge = bridgeOf(reads.one('the conflist', () => podNetworkOf(sys, options).bridge) ?? 'cni0', links);
  const devices = [underlay?.name, bridge.link?.name, ...families.map(({ tunnel }) => tunnel?.link?.name)];
  return {
    ...{ node, agent, conf, leases, subnetEnv, families, kernel, underlay, bridge },
    paths: {
      subnetFile: options.subnetFile,
      cniConfDir: options.cniConfDir,
      cniBinDir: options.cniBinDir ?? '/opt/cni/bin',
      cniStateDir: options.cniStateDir,
    },
    sysctls: readSysctls(
      SYSCTLS,
      devices.filter((name) => name !== undefined),
    ),
    failures: reads.failures,
  };
}

function bridgeOf(name: string, links: readonly Link[]): View['bridge'] {
  const link = links.find((one) => one.name === name && one.kind === 'bridge');
  return { name, link, ports: link === undefined ? [] : links.filter(({ master }) => master === link.index) };
}

/** As the agent says, else below the tunnel's device, else as the flag names it. */
function underlayOf(
  agent: View['agent'],
  families: readonly FamilyFacts[],
  links: readonly Link[],
  { interface: { iface } }: Options,
): UnderlayFacts | undefined {
  const told = agent.state === 'answers' ? agent.report.overlays[0]?.iface : undefined;
  const devices = families.flatMap(({ tunnel }) => tunnel?.link?.vxlan ?? []);
  const below = links.find(({ index }) => devices.some(({ lowerIndex }) => lowerIndex === index));
  const name = told ?? below?.name ?? iface[0];
  if (name === undefined) return undefined;
  const locals = devices.flatMap(({ local }) => local ?? []);
  return { name, link: links.find((one) => one.name === name), locals };
}
