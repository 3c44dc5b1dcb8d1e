// The configuration of flannel, and the delegate's, which is made from it and from subnet.env, the agent's file (flannel-io/cni-plugin,
// flannel.go and flannel_linux.go).

import { errorText, OpError } from '../../lib/errors.ts';
import { formatPrefix, networkOf } from '../../lib/ip.ts';
import { field, type JsonObject, type JsonValue, jsonObject } from '../../lib/json.ts';
import { defaultSubnetFile, parseSubnetEnv, type SubnetEnv } from '../../lib/subnet-env.ts';
import { readText } from '../../lib/sys/file.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { CniError, failure, goText, TRY_AGAIN_LATER, UNTYPED } from '../protocol/error.ts';
import { boolField, emptyObject, type Fields, listField, objectField, stringField } from '../protocol/fields.ts';
import type { Invocation } from '../protocol/plugin.ts';

const DEFAULT_STATE_FOLDER = '/var/lib/cni/flannel';
const SUBNET_ENV_LIMIT_BYTES = 64 * 1024;

export interface FlannelConfig {
  readonly subnetFile: string;
  /** Where delegate configurations are kept between ADD and DEL. */
  readonly stateFolder: string;
  readonly delegate: JsonObject;
  readonly delegateType: string;
  readonly ipam: Fields;
  readonly runtimeConfig: JsonObject | undefined;
  readonly execDelegates: boolean;
}

/** Reads and checks the configuration. Throws CniError 999 with flannel's texts. */
export function parseFlannelConfig(invocation: Invocation): FlannelConfig {
  const { root } = invocation;
  const delegate = objectField(root, 'delegate')?.object ?? emptyObject;
  for (const key of ['name', 'ipam']) {
    if (delegate.has(key)) {
      throw failure(`'delegate' dictionary must not have '${key}' field, it'll be set by flannel`);
    }
  }
  const type = field(delegate, 'type') ?? 'bridge';
  if (typeof type !== 'string') throw failure("'delegate' dictionary, if present, must have (string) 'type' field");
  return {
    subnetFile: stringField(root, 'subnetFile') || defaultSubnetFile,
    stateFolder: stringField(root, 'dataDir') || DEFAULT_STATE_FOLDER,
    delegate,
    delegateType: type,
    ipam: objectField(root, 'ipam') ?? { path: 'ipam', object: emptyObject },
    runtimeConfig: objectField(root, 'runtimeConfig')?.object,
    execDelegates: boolField(root, 'execDelegates') ?? false,
  };
}

/** A pod's Event shows this text. */
const AGENT_NOT_YET =
  'the agent writes it when the node forwards: `flanneld status` on this node, or the log of its pod, says what it waits for';

/** Reads subnet.env. Throws CniError with flannel's texts, which name the file: 11 while it does not exist, else 999. */
export function readSubnetEnv(sys: Syscalls, file: string): SubnetEnv {
  try {
    return parseSubnetEnv(readText(sys, file, SUBNET_ENV_LIMIT_BYTES), file);
  } catch (thrown) {
    const reason = thrown instanceof OpError ? `open ${file}: ${goText(thrown)}` : errorText(thrown);
    const message = `failed to load flannel 'subnet.env' file: ${reason}. Check the flannel pod log for this node.`;
    const isMissing = thrown instanceof OpError && thrown.code === 'ENOENT';
    throw isMissing ? new CniError(TRY_AGAIN_LATER, message, AGENT_NOT_YET) : new CniError(UNTYPED, message);
  }
}

function rangesOf(env: SubnetEnv): JsonValue {
  const sets: JsonValue[] = [];
  for (const subnet of [env.subnet, env.ipv6Subnet]) {
    if (subnet !== undefined) sets.push([jsonObject({ subnet: formatPrefix(networkOf(subnet)) })]);
  }
  return sets;
}

function routesOf(ipam: Fields, env: SubnetEnv): JsonValue {
  const networks = [...env.networks, ...env.ipv6Networks];
  return [...listField(ipam, 'routes'), ...networks.map((network) => jsonObject({ dst: formatPrefix(network) }))];
}

/** Sets a key and removes its other spellings: with two spellings, two readers might use different ones. */
function put(object: Map<string, JsonValue>, key: string, value: JsonValue): void {
  if (!object.has(key)) {
    const lower = key.toLowerCase();
    for (const name of object.keys())
      if (name.length === key.length && name.toLowerCase() === lower) object.delete(name);
  }
  object.set(key, value);
}

function putIfAbsent(object: Map<string, JsonValue>, key: string, value: JsonValue): void {
  if (field(object, key) === undefined) put(object, key, value);
}

function delegateIpam(config: FlannelConfig, env: SubnetEnv | undefined): JsonObject {
  const ipam = new Map(config.ipam.object);
  putIfAbsent(ipam, 'type', 'host-local');
  if (env !== undefined) {
    put(ipam, 'ranges', rangesOf(env));
    put(ipam, 'routes', routesOf(config.ipam, env));
  }
  return ipam;
}

/** The delegate's configuration. Without `env`, when subnet.env is gone, it lacks what only an ADD needs: ranges, routes, MTU. */
export function delegateConfig(invocation: Invocation, config: FlannelConfig, env: SubnetEnv | undefined): JsonObject {
  const delegate = new Map(config.delegate);
  put(delegate, 'name', invocation.name);
  put(delegate, 'type', config.delegateType);
  if (env !== undefined) {
    // When the agent masquerades, the bridge must not, and the other way round.
    putIfAbsent(delegate, 'ipMasq', !env.ipMasq);
    putIfAbsent(delegate, 'mtu', env.mtu);
  }
  if (config.delegateType === 'bridge') putIfAbsent(delegate, 'isGateway', true);
  const version = field(invocation.config, 'cniVersion');
  if (typeof version === 'string' && version !== '') put(delegate, 'cniVersion', version);
  if (config.runtimeConfig !== undefined) put(delegate, 'runtimeConfig', config.runtimeConfig);
  if (config.execDelegates) put(delegate, 'execDelegates', true);
  delegate.set('ipam', delegateIpam(config, env));
  return delegate;
}
