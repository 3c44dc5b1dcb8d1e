// The portmap plugin as far as it goes: a chain without port mappings passes through it unchanged. With
// mappings an ADD fails and says so, rather than leave a service unreachable.

import { field, isJsonObject, type JsonObject } from '../lib/json.ts';
import { CniError, failure, NOT_IMPLEMENTED } from './protocol/error.ts';
import { type Fields, listField, objectField } from './protocol/fields.ts';
import type { Invocation, Plugin } from './protocol/plugin.ts';
import type { Result } from './protocol/result.ts';
import { parsePrevResult } from './protocol/result-parse.ts';
import { ALL_VERSIONS } from './protocol/versions.ts';

function mappingCount(config: JsonObject): number {
  const root: Fields = { struct: 'PortMapConf', path: '', object: config };
  const runtime = objectField(root, 'runtimeConfig');
  return runtime === undefined ? 0 : listField(runtime, 'portMappings').length;
}

function previousResult(invocation: Invocation, missing: string): Result {
  const prevResult = field(invocation.config, 'prevResult');
  if (!isJsonObject(prevResult)) throw failure(missing);
  return parsePrevResult(prevResult, invocation.version);
}

function refuseMappings(invocation: Invocation): void {
  const count = mappingCount(invocation.config);
  if (count === 0) return;
  throw new CniError(
    NOT_IMPLEMENTED,
    `portmap: ${count} port mapping${count === 1 ? '' : 's'} requested, but this portmap does not make any yet`,
    'install the reference portmap plugin, or remove hostPort from the pod',
  );
}

function add(invocation: Invocation): Result {
  const previous = previousResult(invocation, 'must be called as chained plugin');
  refuseMappings(invocation);
  return previous;
}

function check(invocation: Invocation): void {
  previousResult(invocation, 'Required prevResult missing');
  refuseMappings(invocation);
}

export const portmap: Plugin = {
  name: 'portmap',
  supported: ALL_VERSIONS,
  add,
  del: () => undefined,
  check,
};
