// Reads findings that an agent sent. Whatever does not match flanneld/health/finding.ts is left out or shortened, because a node that was
// taken over may send anything.

import { field, isJsonObject, type JsonObject, type JsonValue } from '../../../lib/json.ts';
import type { Finding, Severity } from '../../health/finding.ts';

/** More findings than a node can have; the rest is left out. */
const MAX_FINDINGS = 2000;
const MAX_TEXT = 2000;
const SEVERITIES: readonly string[] = ['error', 'warning', 'info'];

/** The findings under the key `findings`. Each is shown as found by `node`, whatever node it names. */
export function readFindings(answer: JsonObject, node: string): Finding[] {
  const list = field(answer, 'findings');
  if (!Array.isArray(list)) return [];
  return (list as readonly JsonValue[]).slice(0, MAX_FINDINGS).flatMap((each) => readFinding(each, node));
}

function readFinding(value: JsonValue, node: string): Finding[] {
  if (!isJsonObject(value)) return [];
  const read = (key: string): string => textField(value, key);
  const [id, severity, peer] = [read('id'), read('severity'), read('peer')];
  if (id === '' || !SEVERITIES.includes(severity)) return [];
  return [
    {
      id,
      severity: severity as Severity,
      node,
      ...(peer !== '' && { peer }),
      cause: read('cause'),
      evidence: read('evidence'),
      fix: read('fix'),
    },
  ];
}

/** The text under a key; empty when there is none. */
export function textField(object: JsonObject, key: string): string {
  const value = field(object, key);
  return typeof value === 'string' ? value.slice(0, MAX_TEXT) : '';
}
