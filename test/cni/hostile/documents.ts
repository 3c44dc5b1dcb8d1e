// Calls of the CNI executable that a broken or malicious caller could make. Each is computed from a seed and a number.

import { type Json, spoilDocument, spoilText, weirdValue } from './mutate.ts';
import { makeRandom, type Random } from './random.ts';

export interface HostileCall {
  readonly plugin: string;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string;
  /** In latin1 each character is a byte, which can express invalid UTF-8. */
  readonly encoding: 'utf8' | 'latin1';
}

/** The folders and namespaces of a call. */
export interface Place {
  readonly dir: string;
  /** The executables. */
  readonly bin: string;
  readonly netns: string;
}

const COMMANDS = ['ADD', 'ADD', 'ADD', 'ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'];
const VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'];
const VARIABLES = ['CNI_COMMAND', 'CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_ARGS', 'CNI_PATH'];

/** Returns the same call for the same seed and number. */
export function hostileCall(seed: number, number: number, place: Place): HostileCall {
  const random = makeRandom(Math.imul(seed, 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca6b));
  const plugin = random.pick(Object.keys(documents));
  const document = (documents[plugin] ?? documents.flannel)(place, random.pick(VERSIONS));
  const env = environment(random, place);
  // Most calls have only one fault, so that they get far.
  const kind = random.below(10);
  const right = { plugin, env, stdin: JSON.stringify(document), encoding: 'utf8' } as const;
  if (kind < 5) return { ...right, stdin: JSON.stringify(spoilTimes(document, random)) };
  if (kind === 5) return { ...right, stdin: spoilText(right.stdin, random) };
  if (kind === 6) return { ...right, stdin: withByte(right.stdin, random), encoding: 'latin1' };
  return { ...right, env: spoilEnvironment(env, random, place) };
}

/** Contains invalid UTF-8: a lone byte, a surrogate, an overlong slash, a code above the last character. */
function withByte(text: string, random: Random): string {
  const at = random.below(text.length + 1);
  return (
    text.slice(0, at) + random.pick(['\xff', '\x80', '\xed\xa0\x80', '\xc0\xaf', '\xf5\x80\x80\x80']) + text.slice(at)
  );
}

function spoilTimes(document: Json, random: Random): Json {
  let spoiled = document;
  for (let times = random.pick([1, 1, 1, 2, 5]); times > 0; times--) spoiled = spoilDocument(spoiled, random);
  return spoiled;
}

function environment(random: Random, { bin, netns }: Place): Record<string, string> {
  return {
    CNI_COMMAND: random.pick(COMMANDS),
    CNI_CONTAINERID: 'c1',
    CNI_NETNS: netns,
    CNI_IFNAME: 'eth0',
    CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAME=hostile',
    CNI_PATH: bin,
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
  };
}

function spoilEnvironment(env: Record<string, string>, random: Random, { dir }: Place): Record<string, string> {
  const name = random.pick(VARIABLES);
  if (random.chance(0.2)) return Object.fromEntries(Object.entries(env).filter(([key]) => key !== name));
  const weird = weirdValue(random);
  const text = typeof weird === 'string' ? weird : JSON.stringify(weird);
  // The kernel passes no zero bytes on, and Node no lone surrogates.
  const value = random.pick([
    text,
    'add',
    'ADD ',
    `${dir}/subnet.env`,
    `${dir}`,
    `${dir}/fifo`,
    '/dev/tty',
    '/proc/self/ns/net',
    '/proc/self/ns/uts',
    'IP=foo',
    'MAC=1;',
  ]);
  return { ...env, [name]: value.replaceAll('\u0000', '').toWellFormed() };
}

type Documents = Readonly<Record<string, (place: Place, cniVersion: string) => { [key: string]: Json }>> & {
  readonly flannel: (place: Place, cniVersion: string) => { [key: string]: Json };
};

const documents: Documents = {
  flannel: ({ dir }, cniVersion) => ({
    cniVersion,
    name: 'cbr0',
    type: 'flannel',
    subnetFile: `${dir}/subnet.env`,
    dataDir: `${dir}/state`,
    ipam: { dataDir: `${dir}/networks`, routes: [{ dst: '10.9.0.0/16' }] },
    delegate: { hairpinMode: true, isDefaultGateway: true },
    'cni.dev/valid-attachments': [{ containerID: 'c1', ifname: 'eth0' }],
  }),
  bridge: ({ dir }, cniVersion) => ({
    cniVersion,
    name: 'net1',
    type: 'bridge',
    bridge: 'br1',
    isGateway: true,
    isDefaultGateway: true,
    ipMasq: false,
    mtu: 1400,
    ipam: hostLocal(dir),
    runtimeConfig: { mac: '0a:00:00:00:00:01', ips: ['10.1.2.30/24'] },
    'cni.dev/valid-attachments': [{ containerID: 'c1', ifname: 'eth0' }],
  }),
  'host-local': ({ dir }, cniVersion) => ({ cniVersion, name: 'net2', type: 'host-local', ipam: hostLocal(dir) }),
  loopback: (_place, cniVersion) => ({ cniVersion, name: 'cni-loopback', type: 'loopback' }),
  portmap: (place, cniVersion) => ({
    cniVersion,
    name: 'net3',
    type: 'portmap',
    runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIP: '' }] },
    prevResult: result(place, cniVersion),
  }),
  bandwidth: (place, cniVersion) => ({
    cniVersion,
    name: 'net4',
    type: 'bandwidth',
    runtimeConfig: { bandwidth: { ingressRate: 1_000_000, ingressBurst: 100_000, egressRate: 0, egressBurst: 0 } },
    prevResult: result(place, cniVersion),
  }),
};

function hostLocal(dir: string): Json {
  return {
    type: 'host-local',
    dataDir: `${dir}/networks`,
    ranges: [[{ subnet: '10.1.2.0/24', rangeStart: '10.1.2.10', rangeEnd: '10.1.2.20', gateway: '10.1.2.1' }]],
    routes: [{ dst: '0.0.0.0/0', mtu: 1300 }],
  };
}

function result({ netns }: Place, cniVersion: string): Json {
  if (cniVersion < '0.3') return { cniVersion, ip4: { ip: '10.1.2.9/24', gateway: '10.1.2.1' } };
  const version = cniVersion < '1' ? { version: '4' } : {};
  return {
    cniVersion,
    interfaces: [{ name: 'eth0', mac: '0a:00:00:00:00:01', sandbox: netns }],
    ips: [{ ...version, address: '10.1.2.9/24', gateway: '10.1.2.1', interface: 0 }],
  };
}
