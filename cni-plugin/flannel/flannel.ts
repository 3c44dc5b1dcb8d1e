// The flannel plugin: makes a delegate's configuration from subnet.env and calls the delegate (flannel-io/cni-plugin). The delegate is
// bridge in this process. For another type, a key that our bridge does not know, or `"execDelegates": true`, the plugin in CNI_PATH is
// executed.

import { OpError } from '../../lib/errors.ts';
import { field, type JsonObject } from '../../lib/json.ts';
import { listStates, loadState, removeState } from '../../lib/pods/saved-config.ts';
import { bridge } from '../bridge/bridge.ts';
import { isKnownConfig } from '../bridge/bridge-config.ts';
import { executePlugin, findPlugin, hasForeignPlugin, readDelegateResult } from '../delegate.ts';
import { wantsExec } from '../ipam.ts';
import { hasAttachment, validAttachments } from '../protocol/attachments.ts';
import type { Command } from '../protocol/env.ts';
import { CniError, failure, goText, NOT_AVAILABLE, prefixed, withPrefix } from '../protocol/error.ts';
import { rootFields } from '../protocol/fields.ts';
import type { Invocation, Plugin } from '../protocol/plugin.ts';
import type { Result } from '../protocol/result.ts';
import { ALL_VERSIONS } from '../protocol/versions.ts';
import { withUndo } from '../undo.ts';
import { delegateConfig, type FlannelConfig, parseFlannelConfig, readSubnetEnv } from './flannel-config.ts';
import { saveState } from './state.ts';
import { staleBridgeReason } from './status.ts';

function delegateOf(invocation: Invocation, config: JsonObject): Invocation {
  return { ...invocation, config, root: rootFields(config) };
}

function typeOf(config: JsonObject): string {
  const type = field(config, 'type');
  return typeof type === 'string' ? type : 'bridge';
}

/** Whether our own bridge can handle this configuration. */
function isBuiltIn(delegate: Invocation): boolean {
  const type = typeOf(delegate.config);
  if (type !== 'bridge') return false;
  if (wantsExec(delegate)) {
    findPlugin(delegate, type);
    return !hasForeignPlugin(delegate, type);
  }
  return isKnownConfig(delegate.config) || !hasForeignPlugin(delegate, type);
}

function add(invocation: Invocation): Result {
  const config = parseFlannelConfig(invocation);
  const env = readSubnetEnv(invocation.sys, config.subnetFile);
  const delegate = delegateOf(invocation, delegateConfig(invocation, config, env));
  return withUndo(invocation.note, (onFailure) => {
    onFailure(save(invocation, config, delegate.config));
    const builtIn = withPrefix('failed to delegate add: ', () => isBuiltIn(delegate));
    return builtIn ? bridge.add(delegate) : addForeign(delegate);
  });
}

function save(invocation: Invocation, config: FlannelConfig, delegate: JsonObject): () => void {
  try {
    return saveState(invocation.sys, config.stateFolder, invocation, delegate, invocation.holdLock);
  } catch (thrown) {
    if (!(thrown instanceof OpError)) throw thrown;
    throw failure(`failed to save the delegate's configuration: ${thrown.message}`);
  }
}

function addForeign(delegate: Invocation): Result {
  const type = typeOf(delegate.config);
  withPrefix('failed to delegate add: ', () => findPlugin(delegate, type));
  let text: string;
  try {
    text = executePlugin(delegate, type, 'ADD', delegate.config);
  } catch (thrown) {
    // SPEC.md "Plugin Delegation": a delegate whose ADD failed must get a DEL.
    try {
      executePlugin(delegate, type, 'DEL', delegate.config);
    } catch (failed) {
      delegate.note(prefixed('failed to delegate del: ', failed).message);
    }
    throw thrown;
  }
  return withPrefix('failed to delegate add: ', () => readDelegateResult(text, delegate.version));
}

/** The configuration that the ADD used. If it was lost, it is made again from what subnet.env still says. */
function savedDelegate(invocation: Invocation, config: FlannelConfig): Invocation {
  const state = loadState(invocation.sys, config.stateFolder, invocation);
  if (state !== undefined && state !== 'corrupt') return delegateOf(invocation, state);
  if (state === 'corrupt') invocation.note(`the saved delegate configuration of ${invocation.containerId} is corrupt`);
  let env: ReturnType<typeof readSubnetEnv> | undefined;
  try {
    env = readSubnetEnv(invocation.sys, config.subnetFile);
  } catch {
    env = undefined;
  }
  return delegateOf(invocation, delegateConfig(invocation, config, env));
}

function callDelegate(delegate: Invocation, command: Command & ('DEL' | 'CHECK' | 'STATUS')): void {
  if (isBuiltIn(delegate)) {
    if (command === 'DEL') bridge.del(delegate);
    else if (command === 'CHECK') bridge.check?.(delegate);
    else bridge.status?.(delegate);
    return;
  }
  const type = typeOf(delegate.config);
  withPrefix(`failed to delegate ${command.toLowerCase()}: `, () => findPlugin(delegate, type));
  executePlugin(delegate, type, command, delegate.config);
}

function del(invocation: Invocation): void {
  const config = parseFlannelConfig(invocation);
  callDelegate(savedDelegate(invocation, config), 'DEL');
  removeState(invocation.sys, config.stateFolder, invocation);
}

function check(invocation: Invocation): void {
  const delegate = savedDelegate(invocation, parseFlannelConfig(invocation));
  const prevResult = field(invocation.config, 'prevResult');
  const config = new Map(delegate.config);
  if (prevResult !== undefined) config.set('prevResult', prevResult);
  callDelegate(delegateOf(invocation, config), 'CHECK');
}

/** Code 50 while an ADD would fail: the agent has not written subnet.env, or the bridge belongs to another subnet. */
function status(invocation: Invocation): void {
  const config = parseFlannelConfig(invocation);
  let delegate: Invocation;
  try {
    const env = readSubnetEnv(invocation.sys, config.subnetFile);
    delegate = delegateOf(invocation, delegateConfig(invocation, config, env));
    const stale = isBuiltIn(delegate) ? staleBridgeReason(delegate, env) : undefined;
    if (stale !== undefined) throw failure(stale);
  } catch (thrown) {
    throw new CniError(NOT_AVAILABLE, goText(thrown), thrown instanceof CniError ? thrown.details : '');
  }
  callDelegate(delegate, 'STATUS');
}

/** Undoes the attachments that the runtime does not list, then lets the delegate remove those that have no file here. */
function gc(invocation: Invocation): void {
  const valid = validAttachments(invocation.config);
  if (valid === undefined) return;
  const config = parseFlannelConfig(invocation);
  const problems: string[] = [];
  const attempt = (body: () => void): void => {
    try {
      body();
    } catch (thrown) {
      problems.push(goText(thrown));
    }
  };
  for (const id of listStates(invocation.sys, config.stateFolder, invocation.name)) {
    if (!hasAttachment(valid, id.containerId, id.ifname)) {
      attempt(() => del({ ...invocation, ...id, command: 'DEL', netns: '', netnsHandle: undefined }));
    }
  }
  attempt(() => collectRest(invocation, config));
  if (problems.length > 0) throw failure(problems.join('; '));
}

function collectRest(invocation: Invocation, config: FlannelConfig): void {
  const rebuilt = new Map(delegateConfig(invocation, config, undefined));
  for (const [key, value] of invocation.config) if (key.startsWith('cni.dev/')) rebuilt.set(key, value);
  const delegate = delegateOf(invocation, rebuilt);
  if (isBuiltIn(delegate)) bridge.gc?.(delegate);
  else executePlugin(delegate, typeOf(rebuilt), 'GC', rebuilt);
}

export const flannel: Plugin = {
  name: 'flannel',
  supported: ALL_VERSIONS,
  add,
  del,
  check,
  status,
  gc,
};
