// Turns the texts of flags and environment variables into the agent's typed and checked options. The default of a flag that
// was not given comes from flag-table.ts and is read the same way.

import type { Family, Ip } from '../../lib/ip.ts';
import { formatIp, parseIp } from '../../lib/ip.ts';
import { isNodeName } from '../../lib/node-name.ts';
import { PLUGIN_NAMES, type PluginName } from '../../lib/plugin-names.ts';
import { findPublicIpProblem, publicIpExpected } from '../../lib/public-ip.ts';
import { type FlagSpec, flagTable } from './flag-table.ts';
import { UsageError } from './go-flags.ts';

/** The values given for one flag in order, and the flag or variable as the user wrote it, for messages. */
export interface FlagTexts {
  readonly texts: readonly string[];
  readonly label: string;
}

/** How to find the external interface; see external-interface.ts. */
export interface InterfaceOptions {
  readonly iface: readonly string[];
  readonly ifaceRegex: readonly RegExp[];
  readonly ifaceCanReach: Ip | undefined;
  readonly publicIp: Ip | undefined;
  readonly publicIpv6: Ip | undefined;
}

export interface FirewallOptions {
  readonly ipMasq: boolean;
  readonly fullyRandom: boolean;
  readonly forwardRules: boolean;
  readonly resyncSec: number;
  readonly blackholeRoute: boolean;
  readonly unreachableRoute: boolean;
  readonly guard: 'count' | 'enforce' | 'off';
}

export interface KubeOptions {
  readonly apiUrl: string | undefined;
  readonly kubeconfigFile: string | undefined;
  readonly annotationPrefix: string;
  readonly setNetworkUnavailable: boolean;
}

export interface EtcdOptions {
  readonly endpoints: readonly string[];
  readonly prefix: string;
  readonly keyFile: string | undefined;
  readonly certFile: string | undefined;
  readonly caFile: string | undefined;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

/** Where the cluster's state lives. */
export type StoreOptions =
  | { readonly kind: 'directory'; readonly subnetDir: string }
  | { readonly kind: 'kube'; readonly kube: KubeOptions }
  | { readonly kind: 'etcd'; readonly etcd: EtcdOptions };

export interface Options {
  readonly interface: InterfaceOptions;
  readonly firewall: FirewallOptions;
  readonly store: StoreOptions;
  readonly netConfigPath: string;
  readonly subnetFile: string;
  /** Path of the conflist to install when the node forwards; undefined when somebody else installs it. */
  readonly cniConf: string | undefined;
  /** The directory from which the container runtime reads CNI configurations. */
  readonly cniConfDir: string;
  /** The directory from which it runs CNI executables; undefined when somebody else installs them. */
  readonly cniBinDir: string | undefined;
  /** Names under which another vendor's executable may be replaced. */
  readonly cniBinReplace: ReadonlySet<PluginName>;
  /** The folder in which CNI plugins and the runtime save what they know about pods. */
  readonly cniStateDir: string;
  /** Where the runtime pins network namespaces. */
  readonly netnsDir: string;
  /** Undefined when neither flag nor environment names the node; then the host name is used. */
  readonly nodeName: string | undefined;
  /** Undefined when the flag is not given; then net-conf decides. */
  readonly fastPath: FastPathMode | undefined;
  /** The UDP port of all agents' probes; undefined without probes. */
  readonly probePort: number | undefined;
  readonly healthzIp: Ip;
  /** 0 means off. */
  readonly healthzPort: number;
  readonly metricsIp: Ip;
  /** The port of a listener for metrics alone; 0 means off. */
  readonly metricsPort: number;
  readonly logLevel: 'info' | 'debug';
  /** `status`, `gc` and `doctor` print JSON. */
  readonly json: boolean;
  /** `doctor` probes only the node of this name. */
  readonly peer: string | undefined;
  /** `doctor` probes all nodes. */
  readonly allPeers: boolean;
  /** `gc` only prints what it would do. */
  readonly dryRun: boolean;
  /** The folder in which `preflight` finds the host's /etc; empty on the host itself. */
  readonly hostRoot: string;
  /** `cleanup` first ends the running agent. */
  readonly force: boolean;
}

/** What carries pods' packets past the kernel's usual way. */
export const FAST_PATH_MODES = ['off', 'redirect', 'full'] as const;
export type FastPathMode = (typeof FAST_PATH_MODES)[number];

/** 0.0.0.0: listen on every address of the node. */
const ANY: Ip = { family: 4, value: 0n };

export type GivenFlags = ReadonlyMap<string, FlagTexts>;

/** Checks every given text and fills in the defaults. Throws UsageError naming flag, value and what is allowed. */
export function readOptions(given: GivenFlags): Options {
  return {
    interface: readInterface(given),
    firewall: readFirewall(given),
    store: readStore(given),
    netConfigPath: standing(given, 'net-config-path'),
    subnetFile: standing(given, 'subnet-file'),
    cniConf: text(given, 'cni-conf'),
    cniConfDir: standing(given, 'cni-conf-dir'),
    cniBinDir: text(given, 'cni-bin-dir'),
    cniBinReplace: pluginNames(given, 'cni-bin-replace'),
    cniStateDir: standing(given, 'cni-state-dir'),
    netnsDir: standing(given, 'netns-dir'),
    nodeName: one(given, 'node-name', 'a node name (letters, digits, ".", "-", "_")', (value) =>
      isNodeName(value) ? value : undefined,
    ),
    fastPath: one(given, 'fast-path', 'off, redirect or full', fastPathMode),
    probePort: isOn(given, 'probes') ? integer(given, 'probe-port') : undefined,
    healthzIp: address(given, 'healthz-ip') ?? ANY,
    healthzPort: integer(given, 'healthz-port'),
    metricsIp: address(given, 'metrics-ip') ?? ANY,
    metricsPort: integer(given, 'metrics-port'),
    logLevel: integer(given, 'v') >= 4 ? 'debug' : 'info',
    json: boolean(given, 'json'),
    peer: text(given, 'peer'),
    allPeers: boolean(given, 'all'),
    dryRun: boolean(given, 'dry-run'),
    hostRoot: text(given, 'host-root') ?? '',
    force: boolean(given, 'force'),
  };
}

function pluginNames(given: GivenFlags, name: string): ReadonlySet<PluginName> {
  const expected = `names out of ${PLUGIN_NAMES.join(', ')}`;
  const lists = many(given, name, expected, (list) => {
    const names = PLUGIN_NAMES.filter((plugin) => list.split(',').includes(plugin));
    return list === '' || names.length === new Set(list.split(',')).size ? names : undefined;
  });
  return new Set(lists.flat());
}

function readInterface(given: GivenFlags): InterfaceOptions {
  return {
    iface: many(given, 'iface', 'an interface name or an address', (value) => value || undefined),
    ifaceRegex: many(given, 'iface-regex', 'a regular expression', goRegExp),
    ifaceCanReach: address(given, 'iface-can-reach'),
    publicIp: publicAddress(given, 'public-ip', 4),
    publicIpv6: publicAddress(given, 'public-ipv6', 6),
  };
}

/** Go writes "ignore case" as `(?i)` inside the expression, where JavaScript needs a flag. The rest is usually the same. */
function goRegExp(text: string): RegExp {
  return text.startsWith('(?i)') ? new RegExp(text.slice(4), 'i') : new RegExp(text);
}

function readFirewall(given: GivenFlags): FirewallOptions {
  return {
    ipMasq: boolean(given, 'ip-masq'),
    fullyRandom: !boolean(given, 'ip-masq-fully-random-disable'),
    forwardRules: boolean(given, 'iptables-forward-rules'),
    resyncSec: integer(given, 'iptables-resync'),
    blackholeRoute: boolean(given, 'ip-blackhole-route'),
    unreachableRoute: boolean(given, 'ip-unreachable-route'),
    guard: guardMode(given),
  };
}

const GUARD_MODES = ['count', 'enforce', 'off'] as const;
type GuardMode = (typeof GUARD_MODES)[number];

function fastPathMode(word: string): FastPathMode | undefined {
  return FAST_PATH_MODES.find((mode) => mode === word);
}

function guardMode(given: GivenFlags): GuardMode {
  const isMode = (word: string): word is GuardMode => GUARD_MODES.some((mode) => mode === word);
  return one(given, 'guard', 'count, enforce or off', (word) => (isMode(word) ? word : undefined)) ?? 'count';
}

function isOn(given: GivenFlags, name: string): boolean {
  return one(given, name, 'on or off', (word) => (word === 'on' || word === 'off' ? word : undefined)) !== 'off';
}

function readStore(given: GivenFlags): StoreOptions {
  // The flags of every store are read, not only those of the one in use: as in flannel, a bad value is always an error.
  integer(given, 'subnet-lease-renew-margin');
  const kube: KubeOptions = {
    apiUrl: text(given, 'kube-api-url'),
    kubeconfigFile: text(given, 'kubeconfig-file'),
    annotationPrefix: standing(given, 'kube-annotation-prefix'),
    setNetworkUnavailable: boolean(given, 'set-node-network-unavailable'),
  };
  const etcd: EtcdOptions = {
    endpoints: standing(given, 'etcd-endpoints').split(','),
    prefix: standing(given, 'etcd-prefix'),
    keyFile: text(given, 'etcd-keyfile'),
    certFile: text(given, 'etcd-certfile'),
    caFile: text(given, 'etcd-cafile'),
    username: text(given, 'etcd-username'),
    password: text(given, 'etcd-password'),
  };
  const subnetDir = text(given, 'subnet-dir');
  if (boolean(given, 'kube-subnet-mgr')) {
    if (subnetDir !== undefined) throw twoStores(given, 'subnet-dir', 'kube-subnet-mgr');
    return { kind: 'kube', kube };
  }
  const etcdFlag = etcdFlagIn(given);
  if (etcdFlag !== undefined && subnetDir !== undefined) throw twoStores(given, 'subnet-dir', etcdFlag);
  return subnetDir === undefined ? { kind: 'etcd', etcd } : { kind: 'directory', subnetDir };
}

function etcdFlagIn(given: GivenFlags): string | undefined {
  return [...given.keys()].find((name) => name.startsWith('etcd-'));
}

/**
 * Whether no flag names a store. Then the store is etcd, as with flannel, because the same command line has to mean the same
 * cluster. If it were a directory, this node would be a cluster of its own: it would call itself ready and reach nobody.
 */
export function isStoreUnnamed(given: GivenFlags): boolean {
  return (
    !boolean(given, 'kube-subnet-mgr') && text(given, 'subnet-dir') === undefined && etcdFlagIn(given) === undefined
  );
}

function twoStores(given: GivenFlags, a: string, b: string): UsageError {
  return new UsageError(`${given.get(a)?.label} and ${given.get(b)?.label} name two stores, expected one`);
}

const specs: ReadonlyMap<string, FlagSpec> = new Map(flagTable.map((spec) => [spec.name, spec]));

/** The values given for a flag, else its default. */
function textsOf(given: GivenFlags, name: string): FlagTexts {
  const standard = specs.get(name)?.default;
  return given.get(name) ?? { texts: standard === undefined ? [] : [standard], label: `--${name}` };
}

/** Converts every value of a repeatable flag; `convert` returns undefined or throws for a bad one. */
function many<T>(given: GivenFlags, name: string, expected: string, convert: (text: string) => T | undefined): T[] {
  const { texts, label } = textsOf(given, name);
  return texts.map((value) => {
    let result: T | undefined;
    try {
      result = convert(value);
    } catch {
      result = undefined;
    }
    if (result !== undefined) return result;
    throw new UsageError(`${label}: expected ${expected}, got ${JSON.stringify(value.slice(0, 64))}`);
  });
}

/** As in Go the last value counts, and the earlier ones must be valid, too. */
function one<T>(
  given: GivenFlags,
  name: string,
  expected: string,
  convert: (text: string) => T | undefined,
): T | undefined {
  return many(given, name, expected, convert).at(-1);
}

/** The text as it is. Empty text means "not given", because it is flannel's default for most flags. */
function text(given: GivenFlags, name: string): string | undefined {
  return one(given, name, 'text', (value) => value) || undefined;
}

/** The text as it is, or the flag's default when it is empty or not given. */
function standing(given: GivenFlags, name: string): string {
  return text(given, name) ?? specs.get(name)?.default ?? '';
}

const trueWords = ['1', 't', 'T', 'TRUE', 'true', 'True'];
const falseWords = ['0', 'f', 'F', 'FALSE', 'false', 'False'];

/** The words of Go's strconv.ParseBool. */
export function boolean(given: GivenFlags, name: string): boolean {
  const value = one(given, name, 'true or false', (word) => {
    if (trueWords.includes(word)) return true;
    return falseWords.includes(word) ? false : undefined;
  });
  return value ?? false;
}

function integer(given: GivenFlags, name: string): number {
  const [min, max] = specs.get(name)?.range ?? [0, Number.MAX_SAFE_INTEGER];
  const value = one(given, name, `integer ${min}–${max}`, (digits) => {
    const number = /^[+-]?[0-9]{1,15}$/.test(digits) ? Number(digits) : Number.NaN;
    return number >= min && number <= max ? number : undefined;
  });
  return value ?? min;
}

/** Checks the address alone; whether it lies in the pod network is checked once the network is known. */
function publicAddress(given: GivenFlags, name: string, family: Family): Ip | undefined {
  const ip = address(given, name, family);
  const problem = ip && findPublicIpProblem(ip, []);
  if (ip === undefined || problem === undefined) return ip;
  const { label } = textsOf(given, name);
  throw new UsageError(
    `${label}: expected ${publicIpExpected(family, [])}, got ${JSON.stringify(formatIp(ip))}, which ${problem}`,
  );
}

function address(given: GivenFlags, name: string, family?: Family): Ip | undefined {
  const expected = family === undefined ? 'an IP address' : `an IPv${family} address`;
  const empty = 'none';
  const value = one(given, name, expected, (raw): Ip | typeof empty | undefined => {
    if (raw === '') return empty; // flannel's default, which some manifests write out
    const ip = parseIp(raw);
    return family === undefined || ip.family === family ? ip : undefined;
  });
  return value === empty ? undefined : value;
}
