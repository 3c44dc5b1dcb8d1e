// Where addresses come from: host-local runs in this process, any other IPAM plugin is executed. An IPAM plugin gets the caller's whole
// configuration and environment.

import type { Owner } from '../lib/pods/address-store.ts';
import { executePlugin, hasForeignPlugin, readDelegateResult } from './delegate.ts';
import {
  type Allocation,
  checkHeld,
  collectGarbage,
  prepareAllocation,
  release,
  unlistedOwners,
} from './host-local/host-local.ts';
import { ipamKeys } from './host-local/host-local-config.ts';
import { boolField, hasUnknownKey, objectField } from './protocol/fields.ts';
import type { Invocation } from './protocol/plugin.ts';

/** `"execDelegates": true`: the administrator wants the plugins in CNI_PATH to be used. */
export function wantsExec(invocation: Invocation): boolean {
  return boolField(invocation.root, 'execDelegates') ?? false;
}

function isBuiltIn(invocation: Invocation, type: string): boolean {
  if (type !== 'host-local') return false;
  if (wantsExec(invocation)) return !hasForeignPlugin(invocation, type);
  const ipam = objectField(invocation.root, 'ipam');
  return ipam === undefined || !hasUnknownKey(ipam.object, ipamKeys) || !hasForeignPlugin(invocation, type);
}

/** Checks what can be checked; the returned function then allocates. Throws CniError. */
export function prepareIpam(invocation: Invocation, type: string): () => Allocation {
  if (isBuiltIn(invocation, type)) return prepareAllocation(invocation);
  return () => {
    const undo = (): void => {
      executePlugin(invocation, type, 'DEL', invocation.config);
    };
    const text = executePlugin(invocation, type, 'ADD', invocation.config);
    return { result: readDelegateResult(text, invocation.version), undo };
  };
}

/** Releases the attachment's addresses. Throws CniError. */
export function releaseIpam(invocation: Invocation, type: string): void {
  if (isBuiltIn(invocation, type)) release(invocation);
  else executePlugin(invocation, type, 'DEL', invocation.config);
}

/** Throws when the attachment holds no addresses. */
export function checkIpam(invocation: Invocation, type: string): void {
  if (isBuiltIn(invocation, type)) checkHeld(invocation);
  else executePlugin(invocation, type, 'CHECK', invocation.config);
}

/** Throws when no address could be allocated now. */
export function statusIpam(invocation: Invocation, type: string): void {
  if (!isBuiltIn(invocation, type)) executePlugin(invocation, type, 'STATUS', invocation.config);
}

/** Returns attachments that still hold addresses although the runtime does not list them; unknown for a foreign plugin. */
export function unlistedAttachments(invocation: Invocation, type: string): readonly Owner[] {
  return isBuiltIn(invocation, type) ? unlistedOwners(invocation) : [];
}

/** Frees the addresses of attachments that no longer exist. */
export function garbageIpam(invocation: Invocation, type: string): void {
  if (isBuiltIn(invocation, type)) collectGarbage(invocation);
  else executePlugin(invocation, type, 'GC', invocation.config);
}
