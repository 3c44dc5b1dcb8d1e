// One operation from its first variable to its output: environment, stdin, name, version, the netns, the
// plugin (SPEC.md 1.1.0 "Execution Protocol"; the order is that of libcni's pkg/skel).

import { errorText, OpError } from '../../lib/errors.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../lib/json.ts';
import { PLUGIN_MARK } from '../../lib/plugin-mark.ts';
import { closeFd } from '../../lib/sys/file.ts';
import { isOwnNetns, openNetns } from '../../lib/sys/netns.ts';
import { version as ownVersion } from '../../lib/version.ts';
import { type CniEnvironment, isValidId, readEnvironment } from './env.ts';
import {
  CniError,
  DECODING_FAILURE,
  failure,
  INVALID_NETNS,
  INVALID_NETWORK_CONFIG,
  IO_FAILURE,
  renderError,
} from './error.ts';
import { type Fields, rootFields, stringField } from './fields.ts';
import type { Invocation, NetnsHandle, Plugin, Surroundings } from './plugin.ts';
import { renderResult } from './result.ts';
import { ALL_VERSIONS, checkCommandVersion, checkSupported } from './versions.ts';

/** The output and the exit code of the process. */
export interface Output {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

/** Runs one operation. Never throws for anything that a caller can cause: failures are error objects with exit code 1. */
export function runPlugin(plugin: Plugin, surroundings: Surroundings): Output {
  let stderr = '';
  const note = (line: string): void => {
    stderr += `${line}\n`;
  };
  try {
    if ((surroundings.env('CNI_COMMAND') ?? '') === '') return { stdout: '', stderr: about(plugin), code: 0 };
    return { stdout: operate(plugin, surroundings, note), stderr, code: 0 };
  } catch (thrown) {
    return { stdout: renderError(thrown), stderr, code: 1 };
  }
}

/** A description of the program, for a person who runs it. */
export function about(plugin: Plugin): string {
  return (
    `CNI ${plugin.name}${PLUGIN_MARK} ${ownVersion}\n` +
    `CNI protocol versions supported: ${plugin.supported.join(', ')}\n`
  );
}

function operate(plugin: Plugin, surroundings: Surroundings, note: (line: string) => void): string {
  const environment = readEnvironment(surroundings.env);
  if (environment.command === 'VERSION') return versionReply(plugin);
  const config = readConfig(surroundings);
  const root = rootFields(config);
  const name = checkName(root);
  const version = configField(root, 'cniVersion') || '0.1.0';
  checkVersion(environment.command, version, plugin.supported);
  const netnsHandle = openPodNetns(surroundings, environment);
  const { sys } = surroundings;
  const locks: number[] = [];
  const holdLock = (fd: number): void => {
    locks.push(fd);
  };
  try {
    return call(plugin, {
      ...environment,
      surroundings,
      sys,
      version,
      name,
      config,
      root,
      netnsHandle,
      note,
      holdLock,
    });
  } finally {
    for (const fd of locks) closeFd(sys, fd);
  }
}

function versionReply(plugin: Plugin): string {
  const newest = ALL_VERSIONS[ALL_VERSIONS.length - 1];
  return `${JSON.stringify({ cniVersion: newest, supportedVersions: plugin.supported })}\n`;
}

function readConfig(surroundings: Surroundings): JsonObject {
  const { sys } = surroundings;
  let bytes: Uint8Array;
  try {
    bytes = surroundings.stdin();
  } catch (thrown) {
    throw new CniError(IO_FAILURE, `cannot read the configuration on stdin: ${errorText(thrown)}`);
  }
  let value: JsonValue;
  try {
    value = parseJson(sys.arena.decode(bytes));
  } catch (thrown) {
    throw new CniError(DECODING_FAILURE, `error unmarshall network config: ${errorText(thrown)}`);
  }
  if (isJsonObject(value)) return value;
  throw new CniError(DECODING_FAILURE, 'error unmarshall network config: expected an object');
}

/** A string in the configuration. A wrong type is a decoding error of the protocol, code 6. */
function configField(root: Fields, key: string): string {
  try {
    return stringField(root, key);
  } catch (thrown) {
    throw new CniError(DECODING_FAILURE, `error unmarshall network config: ${errorText(thrown)}`);
  }
}

function checkName(root: Fields): string {
  const name = configField(root, 'name');
  if (name === '') throw new CniError(INVALID_NETWORK_CONFIG, 'missing network name');
  if (!isValidId(name)) {
    throw new CniError(INVALID_NETWORK_CONFIG, 'invalid characters found in network name', name);
  }
  return name;
}

function checkVersion(command: CniEnvironment['command'], version: string, supported: readonly string[]): void {
  if (command === 'CHECK') checkCommandVersion(command, version, '0.4.0', supported);
  else if (command === 'GC' || command === 'STATUS') checkCommandVersion(command, version, '1.1.0', supported);
  checkSupported(version, supported);
}

/**
 * Opens the pod's netns. Throws code 8 when it is the plugin's own. Differs from libcni: this check comes before every side effect; in the
 * Go skeleton it comes after them.
 */
function openPodNetns(surroundings: Surroundings, environment: CniEnvironment): NetnsHandle | undefined {
  if (environment.netns === '') return undefined;
  const { sys } = surroundings;
  let fd: number;
  try {
    fd = openNetns(sys, environment.netns);
  } catch (thrown) {
    if (thrown instanceof OpError) return { problem: thrown };
    throw thrown;
  }
  if (environment.command !== 'CHECK' && !environment.netnsOverride && isOwnNetns(sys, fd)) {
    throw new CniError(INVALID_NETNS, "plugin's netns and netns from CNI_NETNS should not be the same");
  }
  return { fd };
}

function call(plugin: Plugin, invocation: Invocation): string {
  switch (invocation.command) {
    case 'ADD':
      return renderResult(plugin.add(invocation), invocation.version);
    case 'DEL':
      plugin.del(invocation);
      return '';
    case 'CHECK':
      plugin.check?.(invocation);
      return '';
    case 'STATUS':
      plugin.status?.(invocation);
      return '';
    case 'GC':
      plugin.gc?.(invocation);
      return '';
    case 'VERSION':
      throw failure('VERSION was answered already');
  }
}
