// Reads the whole view, each part once. The doctor touches the node only here, in the files beside this one and in the probes.

import { hostname } from 'node:os';
import { networkOf, parseIp, sameIp } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import type { Link } from '../../../lib/rtnetlink/link.ts';
import { readTextIfPresent } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { Environment } from '../../cli/flags.ts';
import type { Options } from '../../cli/options.ts';
import type { Nft } from '../../firewall/nft-program.ts';
import { podNetworkOf } from '../../pods/gc/gc-command.ts';
import { type AgentDetails, agentFacts } from './agent-facts.ts';
import { clusterFacts } from './cluster-facts.ts';
import { cniFacts } from './cni-facts.ts';
import type { AgentFacts, BridgeFacts, FamilyFacts, KernelFacts, UnderlayFacts } from './facts.ts';
import { familiesOf, ownLease } from './families.ts';
import { kernelFacts, readSysctls, subnetEnvFacts } from './node-facts.ts';
import { pathFacts } from './path-facts.ts';
import { podSideFacts, poolFacts } from './pod-facts.ts';
import { Reads } from './reads.ts';
import { tableFacts } from './table-facts.ts';
import type { View } from './view.ts';
import { wireguardFacts } from './wireguard-facts.ts';

export interface ViewTools {
  readonly sys: Syscalls;
  readonly netlink: Netlink;
  readonly nft: Nft;
  /** The environment, in which the kubelet puts the addresses of Services. */
  readonly env: Environment;
}

/** Sysctls that do not belong to a device. */
const SYSCTLS = [
  'net.ipv4.ip_forward',
  'net.ipv6.conf.all.forwarding',
  'net.ipv4.conf.all.rp_filter',
  'net.bridge.bridge-nf-call-iptables',
];
const CONFLIST_BYTES = 1024 * 1024;

/** Never rejects: `failures` says what could not be read. An agent that did not answer before (`known`) is not waited for again. */
export async function readView(
  options: Options,
  processes: readonly AgentDetails[],
  tools: ViewTools,
  known?: AgentFacts,
): Promise<View> {
  const { sys, netlink } = tools;
  const reads = new Reads();
  const agent = known?.state === 'silent' ? known : await agentFacts(options.subnetFile, processes);
  const node = agent.state === 'answers' ? agent.report.node : (options.nodeName ?? hostname());
  const { conf, leases, saved } = await clusterFacts(options, node, agent, sys, reads);
  const kernel = kernelFacts(netlink, reads);
  const links = kernel?.links ?? [];
  const subnetEnv = subnetEnvFacts(sys, options.subnetFile);
  const snapshot = leases?.snapshot;
  const families = familiesOf({ agent, conf, snapshot, saved: saved?.own, subnetEnv, links });
  const underlay = underlayOf(agent, families, kernel, options);
  const bridge = bridgeOf(reads.one('the conflist', () => podNetworkOf(sys, options).bridge) ?? 'cni0', links);
  const devices = [underlay?.name, bridge.link?.name, ...families.map(({ tunnel }) => tunnel?.link?.name)];
  const cni = cniFacts(options, sys, reads);
  const conflist = cni.conflist.state === 'right' ? cni.conflist.value : given(options, sys, reads);
  const mtuBytes = mtuOf(agent, families, subnetEnv.state === 'right' ? subnetEnv.value.mtu : 0);
  const subnets = subnetsForPods(subnetEnv, families);
  const port = families.find(({ tunnel }) => tunnel !== undefined)?.tunnel?.port;
  return {
    ...{ node, agent, conf, leases, subnetEnv, families, kernel, underlay, bridge, cni },
    subnetFile: options.subnetFile,
    paths: pathFacts(netlink, families, underlay, bridge, reads),
    podSide: podSideFacts({ options, sys, netlink, families, conflist, mtuBytes }, reads),
    pools: poolFacts(options, sys, subnets, reads),
    wireguard: wireguardFacts({ sys, conf, snapshot, families, own: ownLease({ snapshot, saved: saved?.own }) }, reads),
    tables: await tableFacts(tools, port, reads),
    services: servicesIn([tools.env, ...processes.map(({ env }) => env)]),
    sysctls: readSysctls(
      SYSCTLS,
      devices.filter((name) => name !== undefined),
    ),
    nowMs: Date.now(),
    failures: reads.failures,
  };
}

/** The conflist that the agent installs. */
function given({ cniConf }: Options, sys: Syscalls, reads: Reads): string | undefined {
  if (cniConf === undefined) return undefined;
  return reads.one('the conflist to install', () => readTextIfPresent(sys, cniConf, CONFLIST_BYTES));
}

/** The MTU of pods; 0 when unknown. */
function mtuOf(agent: AgentFacts, families: readonly FamilyFacts[], written: number): number {
  const told = agent.state === 'answers' ? agent.report.overlays.map(({ mtu }) => mtu) : [];
  const ofDevices = families.flatMap(({ tunnel }) => tunnel?.link?.mtu ?? []);
  const known = told.length > 0 ? told : ofDevices;
  return known.length > 0 ? Math.min(...known) : written;
}

/** Plugins read subnet.env; without it the leases say the same. */
function subnetsForPods(subnetEnv: View['subnetEnv'], families: readonly FamilyFacts[]) {
  if (subnetEnv.state !== 'right') return families.flatMap(({ subnet }) => subnet ?? []);
  const { subnet, ipv6Subnet } = subnetEnv.value;
  return [subnet, ipv6Subnet].flatMap((one) => (one === undefined ? [] : networkOf(one)));
}

function bridgeOf(name: string, links: readonly Link[]): BridgeFacts {
  const link = links.find((one) => one.name === name && one.kind === 'bridge');
  return { name, link, ports: link === undefined ? [] : links.filter(({ master }) => master === link.index) };
}

/** The agent says it; else it is the device below the tunnel, else the one that the flag names, else the one with the published address. */
function underlayOf(
  agent: AgentFacts,
  families: readonly FamilyFacts[],
  kernel: KernelFacts | undefined,
  { interface: { iface } }: Options,
): UnderlayFacts | undefined {
  const links = kernel?.links ?? [];
  const told = agent.state === 'answers' ? agent.report.overlays : [];
  const devices = families.flatMap(({ tunnel }) => tunnel?.link?.vxlan ?? []);
  const below = links.find(({ index }) => devices.some(({ lowerIndex }) => lowerIndex === index));
  const published = (kernel?.addresses ?? []).filter(({ ip }) =>
    families.some(({ publicIp }) => publicIp !== undefined && sameIp(publicIp, ip)),
  );
  const holder = links.find(({ index }) => index === published[0]?.index);
  const named = iface.find((one) => links.some((link) => link.name === one)) ?? iface[0];
  const name = told[0]?.iface ?? below?.name ?? named ?? holder?.name;
  if (name === undefined) return undefined;
  const lower = devices.flatMap(({ local }) => local ?? []);
  const locals =
    told.length > 0
      ? told.map(({ local }) => parseIp(local))
      : lower.length > 0
        ? lower
        : published.map(({ ip }) => ip);
  return { name, link: links.find((one) => one.name === name), locals };
}

function servicesIn(environments: readonly Environment[]): View['services'] {
  const found = new Map<string, View['services'][number]>();
  for (const [name, value] of environments.flatMap((env) => Object.entries(env))) {
    if (!name.endsWith('_SERVICE_HOST') || value === undefined) continue;
    try {
      found.set(value, { ip: parseIp(value), what: `Service ${value} (${name})` });
    } catch {
      // a host name
    }
  }
  return [...found.values()];
}
