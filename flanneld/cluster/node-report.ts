// The parts of `flanneld status --json` that the cluster's tables and map show. The agent may have another version, and a node that was
// taken over may send anything, so every field is read with a check.

import { field, isJsonObject, type JsonObject, type JsonValue } from '../../lib/json.ts';
import type { Finding } from '../health/finding.ts';
import { readFindings, textField } from './findings/read-findings.ts';

export interface NodeReport {
  readonly version: string;
  readonly backend: string;
  readonly isReady: boolean;
  /** The failing checks of the agent, one line each. */
  readonly problems: readonly string[];
  readonly peers: { readonly wanted: number; readonly programmed: number; readonly failing: number };
  readonly guard: GuardReport;
  /** Repairs since the agent's start by kind of object. */
  readonly drift: ReadonlyMap<string, number>;
  /** Number of peers by the state that the probes found; empty when this agent does not probe. */
  readonly probes: ReadonlyMap<string, number>;
  readonly findings: readonly Finding[];
}

export interface GuardReport {
  /** `off`, `count`, `enforce`; `?` when the agent does not say. */
  readonly mode: string;
  /** Packets from strangers and from pods. */
  readonly packets: number;
  /** The number of strangers' addresses. */
  readonly strangers: number;
}

export function readNodeReport(answer: JsonObject, node: string): NodeReport {
  const overlays = objectsField(answer, 'overlays');
  const sum = (key: string): number =>
    overlays.reduce((total, overlay) => total + numberField(objectField(overlay, 'peers'), key), 0);
  const checks = objectsField(answer, 'checks').filter((check) => textField(check, 'problem') !== '');
  return {
    version: textField(answer, 'version') || '?',
    backend: textField(answer, 'backend'),
    isReady: field(answer, 'ready') === true,
    problems: checks.map((check) => `${textField(check, 'name')}: ${textField(check, 'problem')}`),
    peers: { wanted: sum('wanted'), programmed: sum('programmed'), failing: sum('failing') },
    guard: readGuard(objectField(objectField(answer, 'firewall'), 'guard')),
    drift: numbersOf(objectField(objectField(answer, 'drift'), 'totals')),
    probes: numbersOf(objectField(objectField(answer, 'probes'), 'states')),
    findings: readFindings(answer, node),
  };
}

function readGuard(guard: JsonObject): GuardReport {
  const packets = objectField(guard, 'packets');
  return {
    mode: textField(guard, 'mode') || '?',
    packets: numberField(packets, 'strangers') + numberField(packets, 'pods'),
    strangers: objectsField(guard, 'strangers').length,
  };
}

const NOTHING: JsonObject = new Map();

/** The object under a key; an empty one when there is none. */
export function objectField(object: JsonObject, key: string): JsonObject {
  const value = field(object, key);
  return isJsonObject(value) ? value : NOTHING;
}

/** The objects in the list under a key. */
export function objectsField(object: JsonObject, key: string): JsonObject[] {
  const value = field(object, key);
  return Array.isArray(value) ? (value as readonly JsonValue[]).filter((each) => isJsonObject(each)) : [];
}

/** The number under a key; 0 when there is none. */
function numberField(object: JsonObject, key: string): number {
  const value = field(object, key);
  return typeof value === 'number' ? value : 0;
}

function numbersOf(object: JsonObject): Map<string, number> {
  return new Map([...object].filter((entry): entry is [string, number] => typeof entry[1] === 'number'));
}
