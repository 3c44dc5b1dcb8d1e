// Reads everything that preflight judges. Everything that is made for it is removed again.

import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter } from 'node:path';
import { errorText } from '../../../lib/errors.ts';
import { formatIp, type Ip, type IpPrefix, parseIp, parsePrefix } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import type { Link } from '../../../lib/rtnetlink/link.ts';
import { IFF_UP, RT_TABLE_MAIN } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { backendOfDevice } from '../../backend/registry.ts';
import type { KubeOptions, Options } from '../../cli/options.ts';
import type { Nft } from '../../firewall/nft-program.ts';
import { normalizePrefix } from '../../subnet/kube/annotations.ts';
import { KubeApi } from '../../subnet/kube/api.ts';
import { readNode } from '../../subnet/kube/node.ts';
import { readView } from '../view/read-view.ts';
import type { View } from '../view/view.ts';
import { tryKernel } from './kernel-tries.ts';
import {
  baseChainsIn,
  firewalldOf,
  forwardingFilesIn,
  managersOf,
  otherCnisIn,
  otherConfsIn,
  processNames,
} from './node-files.ts';
import type { BaseChain, PreflightFacts } from './preflight-facts.ts';
import { trySizes } from './size-tries.ts';

export interface PreflightTools {
  readonly sys: Syscalls;
  readonly netlink: Netlink;
  readonly nft: Nft;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly random: () => number;
}

const DEFAULT_VNI = 1;
const DEFAULT_PORT = 8472;
const STORE_MS = 5000;
const PAGE = 500;
/** This many other nodes are enough to learn which packet sizes the network carries. */
const PEERS = 16;

/** Rejects with OpError when the kernel does not answer. */
export async function readPreflight(
  options: Options,
  addresses: readonly Ip[],
  tools: PreflightTools,
): Promise<PreflightFacts> {
  const { sys, netlink, nft, env } = tools;
  const view = withUnderlay(await readView(options, [], { sys, netlink, nft, env }));
  const kernel = tryKernel(sys, tools.random, view.conf?.backend.type);
  const processes = processNames();
  const devices = (view.kernel?.links ?? []).map(({ name }) => name);
  const tunnel = tunnelOf(view);
  const chains = await baseChains(nft);
  const cluster = await readCluster(options, view.node, env);
  const peers = addresses.length > 0 ? addresses : cluster.peers;
  return {
    ...{ view, kernel, tunnel, chains },
    programs: { nft: isInPath('nft', env), iptables: isInPath('iptables-save', env) },
    portUsers: tunnel === undefined || isInUse(view, tunnel.port) ? [] : udpUsers(tunnel.port),
    healthPortTaken: await takenPort(options),
    managers: managersOf(processes, options.hostRoot),
    firewalld: firewalldOf(processes, chains, options.hostRoot),
    otherConfs: otherConfsIn(options.cniConfDir),
    otherCnis: otherCnisIn(processes, devices),
    flannel: flannelSigns(processes, view.kernel?.links ?? [], chains, options),
    forwardingFiles: forwardingFilesIn(options.hostRoot),
    podCidrs: cluster.podCidrs,
    storeProblem: cluster.problem,
    sizes: await trySizes(sys, view.underlay, peers.slice(0, PEERS)),
  };
}

/** Without a configuration the manifests' defaults count: vxlan with the usual numbers. */
function tunnelOf({ conf, families }: View): PreflightFacts['tunnel'] {
  if (conf === undefined) return { vni: DEFAULT_VNI, port: DEFAULT_PORT };
  const { vni, port } = families.find(({ tunnel }) => tunnel !== undefined)?.tunnel ?? {};
  return port === undefined ? undefined : { vni, port };
}

/** Before the agent has run, only a flag or the default route says which interface leads to the other nodes. */
function withUnderlay(view: View): View {
  const { underlay, kernel } = view;
  if (underlay !== undefined || kernel === undefined) return view;
  const way = kernel.routes.find(({ destination, table }) => destination.length === 0 && table === RT_TABLE_MAIN);
  const link = kernel.links.find(({ index }) => index === way?.oif);
  if (link === undefined) return view;
  const locals = kernel.addresses.filter(({ index }) => index === link.index).map(({ ip }) => ip);
  return { ...view, underlay: { name: link.name, link, locals } };
}

async function baseChains(nft: Nft): Promise<BaseChain[]> {
  try {
    return baseChainsIn(await nft.listChains());
  } catch {
    return [];
  }
}

function isInPath(name: string, env: PreflightTools['env']): boolean {
  return (env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      return readdirSync(folder).includes(name);
    } catch {
      return false;
    }
  });
}

/** While a tunnel's device is up its socket has the port, which looks like a program's; then no program can have it. */
function isInUse({ kernel }: View, port: number): boolean {
  return (kernel?.links ?? []).some((link) => {
    const hasPort = link.vxlan === undefined ? backendOfDevice(link) !== undefined : link.vxlan.port === port;
    return hasPort && (link.flags & IFF_UP) !== 0;
  });
}

/** /proc/net/udp has the port in hexadecimal and the inode of the socket. */
function udpUsers(port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const lines = ['udp', 'udp6'].flatMap((name) => readOrEmpty(`/proc/self/net/${name}`).split('\n').slice(1));
  const inodes = lines.flatMap((line) => {
    const words = line.trim().split(/\s+/);
    return words[1]?.endsWith(`:${hex}`) === true && words[9] !== '0' ? [words[9] ?? ''] : [];
  });
  return inodes.length === 0 ? [] : [`a program (socket inode ${inodes.join(', ')})`];
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The agent's HTTP port, if listening there fails because another program does. */
async function takenPort({ healthzIp, healthzPort }: Options): Promise<number | undefined> {
  if (healthzPort === 0) return undefined;
  const server = createServer();
  return await new Promise((resolve) => {
    server.on('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'EADDRINUSE' ? healthzPort : undefined),
    );
    server.listen({ host: formatIp(healthzIp), port: healthzPort }, () => server.close(() => resolve(undefined)));
  });
}

function flannelSigns(
  processes: readonly string[],
  links: readonly Link[],
  chains: readonly BaseChain[],
  { subnetFile }: Options,
): string[] {
  const tables = new Set(chains.filter(({ table }) => /^flannel-ipv[46]$/.test(table)).map(({ table }) => table));
  return [
    ...(processes.includes('flanneld') ? ['a running flanneld'] : []),
    ...links.filter((link) => backendOfDevice(link) !== undefined).map(({ name }) => `device ${name}`),
    ...[...tables].map((table) => `table ${table}`),
    ...(readOrEmpty(subnetFile) === '' ? [] : [subnetFile]),
  ];
}

interface Cluster {
  readonly podCidrs: readonly IpPrefix[] | undefined;
  readonly peers: readonly Ip[];
  readonly problem: string | undefined;
}

/** Nodes without a running agent are known only from Kubernetes. */
async function readCluster({ store }: Options, node: string, env: PreflightTools['env']): Promise<Cluster> {
  if (store.kind !== 'kube') return { podCidrs: undefined, peers: [], problem: undefined };
  try {
    return await readNodes(store.kube, node, env);
  } catch (error) {
    return { podCidrs: undefined, peers: [], problem: errorText(error) };
  }
}

async function readNodes(kube: KubeOptions, node: string, env: PreflightTools['env']): Promise<Cluster> {
  const { openKubeAccess } = await import('../../subnet/kube/access.ts');
  const access = openKubeAccess({ ...kube, serviceHost: env['KUBERNETES_SERVICE_HOST'] });
  const api = new KubeApi({ access, timeoutMs: STORE_MS, watchIdleMs: STORE_MS });
  const signal = AbortSignal.timeout(STORE_MS);
  const prefix = normalizePrefix(kube.annotationPrefix);
  const own = readNode(await api.getNode(node, signal), prefix);
  const peers: Ip[] = [];
  const onNode = (value: unknown): void => {
    const record = readNode(value, prefix);
    if (record === undefined || record.name === node || peers.length >= PEERS) return;
    peers.push(...(record.addresses ?? []).slice(0, 1).flatMap((text) => orNothing(() => parseIp(text))));
  };
  await api.listNodes({ limit: PAGE, next: '', isCacheFine: true }, onNode, signal);
  const podCidrs = (own?.podCidrs ?? []).flatMap((text) => orNothing(() => parsePrefix(text)));
  return { podCidrs, peers, problem: undefined };
}

function orNothing<T>(parse: () => T): T[] {
  try {
    return [parse()];
  } catch {
    return [];
  }
}
