// Inputs that are text: configurations, results, CNI_ARGS, subnet.env, addresses.

import { parseCniArgs } from '../../../../cni-plugin/protocol/args.ts';
import { validAttachments } from '../../../../cni-plugin/protocol/attachments.ts';
import { CniError } from '../../../../cni-plugin/protocol/error.ts';
import type { Plugin } from '../../../../cni-plugin/protocol/plugin.ts';
import { emptyDns } from '../../../../cni-plugin/protocol/result.ts';
import { parsePrevResult } from '../../../../cni-plugin/protocol/result-parse.ts';
import { runPlugin } from '../../../../cni-plugin/protocol/run-operation.ts';
import { ALL_VERSIONS } from '../../../../cni-plugin/protocol/versions.ts';
import { formatIp, formatPrefix, parseIp, parsePrefix } from '../../../../lib/ip.ts';
import { JsonError, parseJson, stringifyJson } from '../../../../lib/json.ts';
import { parseMac } from '../../../../lib/mac.ts';
import { parseSubnetEnv, SubnetEnvError } from '../../../../lib/subnet-env.ts';
import type { Syscalls } from '../../../../lib/sys/syscalls.ts';
import { type Json, spoilDocument, spoilText } from '../mutate.ts';
import type { Random } from '../random.ts';
import type { Target } from './target.ts';

const CONFIG: Json = {
  cniVersion: '1.0.0',
  name: 'cbr0',
  type: 'flannel',
  delegate: { hairpinMode: true, isDefaultGateway: true },
  ipam: { type: 'host-local', ranges: [[{ subnet: '10.1.2.0/24' }]], routes: [{ dst: '0.0.0.0/0' }] },
  'cni.dev/valid-attachments': [{ containerID: 'c1', ifname: 'eth0' }],
  prevResult: {
    cniVersion: '1.0.0',
    interfaces: [{ name: 'eth0', mac: '0a:00:00:00:00:01', mtu: 1450, sandbox: '/run/netns/c1' }],
    ips: [{ address: '10.1.2.9/24', gateway: '10.1.2.1', interface: 0 }],
    routes: [{ dst: '0.0.0.0/0', gw: '10.1.2.1', mtu: 1300, priority: 5 }],
    dns: { nameservers: ['10.0.0.53'], search: ['a', 'b'], domain: 'c', options: ['ndots:5'] },
  },
};

const SUBNET_ENV =
  'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n';
const SHORT = [
  '10.244.1.1/24',
  'fd00::1:2/64',
  '::ffff:10.0.0.1',
  '0a:58:0a:f4:01:02',
  'IP=10.1.2.9;MAC=0a:00:00:00:00:01',
];

/** Reads everything that the protocol reads in a configuration, and writes it again as a result. */
const reader: Plugin = {
  name: 'reader',
  supported: ALL_VERSIONS,
  add({ config, version, args }) {
    validAttachments(config);
    parseCniArgs(args, ['IP', 'MAC']);
    const given = config.get('prevResult');
    return given === undefined
      ? { interfaces: [], ips: [], routes: [], dns: emptyDns() }
      : parsePrevResult(config, version);
  },
  del: ({ config }) => void validAttachments(config),
};

export function textTargets(sys: Syscalls): readonly Target[] {
  return [
    { name: 'json', once: (random) => readJson(sys, spoiledConfig(sys, random)) },
    { name: 'protocol', once: (random) => runProtocol(sys, spoiledConfig(sys, random), random) },
    { name: 'subnet.env', once: (random) => readSubnetEnv(spoilText(SUBNET_ENV, random)) },
    { name: 'addresses', once: (random) => readAddresses(spoilText(random.pick(SHORT), random).slice(0, 4000)) },
  ];
}

/** Bytes that are mostly JSON, sometimes not even UTF-8. */
function spoiledConfig(sys: Syscalls, random: Random): Uint8Array {
  const text = JSON.stringify(random.chance(0.7) ? spoilDocument(CONFIG, random) : CONFIG);
  const bytes = sys.arena.encode((random.chance(0.3) ? spoilText(text, random) : text).toWellFormed());
  for (let times = random.pick([0, 0, 1, 3]); times > 0 && bytes.length > 0; times--) {
    bytes[random.below(bytes.length)] = random.below(256);
  }
  return bytes;
}

function readJson(sys: Syscalls, bytes: Uint8Array): void {
  const value = sys.arena.scope(() => {
    const slot = sys.arena.alloc(bytes.length);
    slot.bytes().set(bytes);
    return attempt(() => parseJson(sys.arena.decode(slot.bytes())), isRefusedJson, bytes);
  });
  if (value === undefined) return;
  const text = stringifyJson(value);
  const again = stringifyJson(parseJson(text));
  if (again !== text) throw new Error(`written ${text}, read and written again ${again}`);
}

/** The host's decode throws a TypeError for invalid UTF-8; elsewhere a TypeError is a mistake. */
function isRefusedJson(thrown: unknown): boolean {
  return thrown instanceof JsonError || (thrown instanceof TypeError && thrown.message.includes('UTF-8'));
}

function runProtocol(sys: Syscalls, stdin: Uint8Array, random: Random): void {
  const env: Record<string, string> = {
    CNI_COMMAND: random.pick(['ADD', 'ADD', 'DEL', 'CHECK']),
    CNI_CONTAINERID: random.chance(0.9) ? 'c1' : spoilText('c1', random),
    CNI_IFNAME: random.chance(0.9) ? 'eth0' : spoilText('eth0', random),
    CNI_NETNS: '/none',
    CNI_PATH: '/none',
    CNI_ARGS: random.chance(0.7) ? '' : spoilText('IgnoreUnknown=1;IP=10.0.0.1', random),
  };
  const { code, stdout } = runPlugin(reader, {
    sys,
    stdin: () => stdin,
    env: (name) => env[name],
    environment: () => [],
  });
  if (code === 0 && (stdout !== '') === (env['CNI_COMMAND'] === 'ADD')) return;
  const { code: told, msg } = JSON.parse(stdout) as { code: number; msg: string };
  if (code !== 1 || !Number.isInteger(told) || /is not a function|undefined|cannot read|of null/.test(msg)) {
    throw new Error(`answer ${code} ${stdout} to ${spell(stdin)}`);
  }
}

function readSubnetEnv(text: string): void {
  attempt(
    () => parseSubnetEnv(text, '/run/flannel/subnet.env'),
    (thrown) => thrown instanceof SubnetEnvError,
    text,
  );
}

/** Accepted input must come out of the writer in a form that means the same. */
function readAddresses(text: string): void {
  const known = (thrown: unknown): boolean => thrown instanceof Error && /^(IpError|MacError)$/.test(thrown.name);
  const ip = attempt(() => parseIp(text), known, text);
  if (ip !== undefined && parseIp(formatIp(ip)).value !== ip.value) throw new Error(`${text} became ${formatIp(ip)}`);
  const prefix = attempt(() => parsePrefix(text), known, text);
  if (prefix !== undefined && parsePrefix(formatPrefix(prefix)).ip.value !== prefix.ip.value) {
    throw new Error(`${text} became ${formatPrefix(prefix)}`);
  }
  attempt(() => parseMac(text), known, text);
  attempt(
    () => parseCniArgs(text, ['IP', 'MAC']),
    (thrown) => thrown instanceof CniError,
    text,
  );
}

/** The value, or undefined when it was refused in a permitted way. */
function attempt<T>(body: () => T, isAllowed: (thrown: unknown) => boolean, input: string | Uint8Array): T | undefined {
  try {
    return body();
  } catch (thrown) {
    if (isAllowed(thrown)) return undefined;
    throw new Error(`${String(thrown)} from ${spell(input)}`);
  }
}

function spell(input: string | Uint8Array): string {
  if (typeof input === 'string') return JSON.stringify(input.slice(0, 2000));
  return [...input.subarray(0, 1500)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
