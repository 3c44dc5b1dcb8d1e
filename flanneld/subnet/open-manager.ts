// Opens the store that the options name, and passes it what an earlier run saved.

import { hostname } from 'node:os';
import { ConfigError, errorText, OpError } from '../../lib/errors.ts';
import { makeFolders } from '../../lib/files-node.ts';
import { type Ip, networkOf } from '../../lib/ip.ts';
import { isNodeName } from '../../lib/node-name.ts';
import { parseSubnetEnv } from '../../lib/subnet-env.ts';
import { readTextIfPresent } from '../../lib/sys/file.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { EtcdOptions, KubeOptions, Options } from '../cli/options.ts';
import type { Logger } from '../health/log.ts';
import { createDirectoryManager, type DirectoryOptions } from './directory.ts';
import type { SubnetManager } from './manager.ts';
import type { RememberingOptions } from './remembering.ts';
import { createRememberingManager } from './remembering.ts';
import { readSavedState, StateWriter, savedStateFile } from './saved-state.ts';

/** How often the directory store is read without an event; with 5000 leases that takes 50 ms of processor time. */
const DIRECTORY_PERIOD_MS = 120_000;
/** How long a starting agent waits for the store before it uses the saved state. */
const PATIENCE_MS = 5000;
/** The shortest time between two saves; with thousands of leases it is longer. A clean end saves the rest. */
const SAVE_GAP_MS = 30_000;

export interface ManagerTools {
  readonly sys: Syscalls;
  readonly log: Logger;
  /** The process's own environment. */
  readonly env: NodeJS.ProcessEnv;
  /** Whether the address is the broadcast address of a link of this node. */
  readonly isBroadcast: (ip: Ip) => boolean;
}

/** Rejects with ConfigError or OpError when the options cannot be used. It does not wait for the store to answer. */
export async function openManager(options: Options, tools: ManagerTools): Promise<SubnetManager> {
  const { store } = options;
  switch (store.kind) {
    case 'directory':
      return openDirectory(options, store.subnetDir, tools);
    case 'etcd':
      await prepareTls(tools.env);
      return await openEtcd(options, store.etcd, tools);
    case 'kube':
      await prepareTls(tools.env);
      return await openKube(options, store.kube, tools);
  }
}

/** Must come before the first connection. A module of its own, because the directory store needs no TLS. */
async function prepareTls(env: NodeJS.ProcessEnv): Promise<void> {
  const { spareRoots } = await import('./roots.ts');
  spareRoots(process.execArgv, env);
}

function openDirectory(options: Options, dir: string, { sys, log }: ManagerTools): SubnetManager {
  const { netConfigPath, subnetFile } = options;
  const nodeName = options.nodeName ?? hostname();
  if (!isNodeName(nodeName)) {
    const detail = 'the host name is not usable as a node name, set --node-name';
    throw new OpError({ subsystem: 'leases', op: 'name', object: JSON.stringify(nodeName), code: 'invalid', detail });
  }
  try {
    makeFolders(dir);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'error';
    throw new OpError({ subsystem: 'leases', op: 'make directory', object: dir, code, cause: error });
  }
  const previous = previousSubnets(sys, subnetFile, log);
  const { random } = Math;
  return createDirectoryManager({ dir, nodeName, netConfigPath, previous, log, random, periodMs: DIRECTORY_PERIOD_MS });
}

async function openEtcd(options: Options, etcd: EtcdOptions, tools: ManagerTools): Promise<SubnetManager> {
  // Only the store in use is imported, because its code costs memory.
  const { createEtcdManager, etcdDefaults } = await import('./etcd/etcd.ts');
  const { sys, log } = tools;
  const { endpoints, prefix, caFile, certFile, keyFile, username, password } = etcd;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new ConfigError('flag', '--etcd-certfile', 'expected together with --etcd-keyfile, or neither');
  }
  const remembering = remember(options, `etcd ${prefix}`, tools);
  const settings = {
    ...etcdDefaults,
    endpoints: endpoints.map(parseEndpoint),
    prefix,
    tls: { caFile, certFile, keyFile },
    user: username === undefined ? undefined : { name: username, password: password ?? '' },
    previous: previousSubnets(sys, options.subnetFile, log),
    earlier: remembering.memory.earlier?.own,
    log,
    random: Math.random,
  };
  return createRememberingManager((onNetConf) => createEtcdManager({ ...settings, onNetConf }), remembering);
}

function parseEndpoint(text: string): URL {
  try {
    const url = new URL(text.trim());
    if (url.protocol === 'http:' || url.protocol === 'https:') return url;
  } catch {
    // reported below
  }
  const expected = 'expected comma-separated http:// or https:// URLs';
  throw new ConfigError('flag', '--etcd-endpoints', `${expected}, got ${JSON.stringify(text.slice(0, 128))}`);
}

async function openKube(options: Options, kube: KubeOptions, tools: ManagerTools): Promise<SubnetManager> {
  const { openKubeAccess } = await import('./kube/access.ts');
  const { createKubeManager, kubeDefaults } = await import('./kube/kube.ts');
  const { log, env } = tools;
  const { nodeName, netConfigPath } = options;
  const identity = { nodeName, podName: env['POD_NAME'] || undefined, podNamespace: env['POD_NAMESPACE'] || undefined };
  const settings = {
    ...kube,
    ...kubeDefaults,
    identity,
    netConfigPath,
    log,
    random: Math.random,
    now: () => new Date(),
  };
  const access = openKubeAccess({ ...kube, serviceHost: env['KUBERNETES_SERVICE_HOST'] });
  const remembering = remember(options, `kube ${kube.annotationPrefix}`, tools);
  const earlierAddresses = remembering.memory.earlier?.snapshot?.nodeAddresses;
  const manager = createKubeManager({ ...settings, access, earlierAddresses, isBroadcast: tools.isBroadcast });
  return createRememberingManager(() => manager, remembering);
}

function remember({ subnetFile }: Options, store: string, { sys, log }: ManagerTools): RememberingOptions {
  const file = savedStateFile(subnetFile);
  const writer = new StateWriter(file, log, SAVE_GAP_MS);
  const earlier = readSavedState(sys, file, store, log);
  const memory = { earlier, save: writer.save.bind(writer), flush: () => writer.flush() };
  return { store, memory, patienceMs: PATIENCE_MS, log };
}

/** The subnets in an earlier run's subnet.env; empty when it is missing or unreadable. */
function previousSubnets(sys: Syscalls, file: string, log: Logger): DirectoryOptions['previous'] {
  try {
    const text = readTextIfPresent(sys, file, 64 * 1024);
    if (text === undefined) return {};
    const { subnet, ipv6Subnet } = parseSubnetEnv(text, file);
    // The file has the gateway's address with its length; a lease needs the network.
    return { subnet: subnet && networkOf(subnet), ipv6Subnet: ipv6Subnet && networkOf(ipv6Subnet) };
  } catch (error) {
    log.warn({ file, err: errorText(error) }, 'subnet.env of an earlier agent ignored');
    return {};
  }
}
