// The bandwidth plugin's limits (containernetworking/plugins plugins/meta/bandwidth/main.go).

import { failure } from '../protocol/error.ts';
import { type Fields, intField, objectField, stringsField } from '../protocol/fields.ts';
import type { Invocation } from '../protocol/plugin.ts';

/** The limit of one direction; absent in Limits where there is none. */
export interface Limit {
  /** Bytes a second, at least 1. */
  readonly rate: number;
  /** Bytes. */
  readonly burst: number;
}

export interface Limits {
  /** Towards the container. */
  readonly ingress: Limit | undefined;
  /** From the container. */
  readonly egress: Limit | undefined;
}

const KEYS = ['ingressRate', 'ingressBurst', 'egressRate', 'egressBurst'];
const MAX_U32 = 0xffff_ffff;

/** Keys of the configuration itself win over those of the runtime. Throws CniError 999. */
export function readLimits(invocation: Invocation): Limits {
  const root: Fields = { path: '', object: invocation.config };
  const limited = KEYS.some((key) => intField(root, key) !== undefined);
  const runtime = objectField(root, 'runtimeConfig');
  const fields = limited ? root : runtime && objectField(runtime, 'bandwidth');
  if (fields === undefined) return { ingress: undefined, egress: undefined };
  for (const key of ['shapedSubnets', 'unshapedSubnets']) {
    if (stringsField(fields, key).length > 0) invocation.note(`bandwidth: ${key} is ignored: all traffic is limited`);
  }
  return { ingress: readLimit(fields, 'ingress'), egress: readLimit(fields, 'egress') };
}

function readLimit(fields: Fields, direction: 'ingress' | 'egress'): Limit | undefined {
  const rate = readBits(fields, `${direction}Rate`);
  const burst = readBits(fields, `${direction}Burst`);
  if (burst === 0 && rate !== 0) throw failure('if rate is set, burst must also be set');
  if (rate === 0 && burst !== 0) throw failure('if burst is set, rate must also be set');
  if (Math.floor(burst / 8) >= MAX_U32) throw failure('burst cannot be more than 4GB');
  if (rate === 0) return undefined;
  if (rate < 8) throw failure(`${direction}Rate: expected 8 bits a second or more, got ${rate}`);
  if (burst < 8) throw failure(`${direction}Burst: expected 8 bits or more, got ${burst}`);
  return { rate: Math.floor(rate / 8), burst: Math.floor(burst / 8) };
}

function readBits(fields: Fields, key: string): number {
  const value = intField(fields, key) ?? 0;
  if (value < 0) throw failure(`${key}: expected 0 or more bits, got ${value}`);
  return value;
}
