import { describe, expect, test } from 'vitest';
import { isJsonObject, parseJson } from '../../lib/json.ts';
import { rootFields } from '../protocol/fields.ts';
import type { Invocation } from '../protocol/plugin.ts';
import { renderResult } from '../protocol/result.ts';
import { portmap } from './portmap.ts';

const prevResult = { cniVersion: '0.3.1', ips: [{ version: '4', address: '10.1.2.3/24' }] };

/** Only what portmap reads; it has no system calls, so that code that tries one fails. */
function invocation(config: object): Invocation {
  const parsed = parseJson(JSON.stringify({ name: 'n1', ...config }));
  if (!isJsonObject(parsed)) throw new Error('not an object');
  const partial = { config: parsed, root: rootFields(parsed), version: '0.3.1', ifname: 'eth0', containerId: 'c1' };
  return partial as unknown as Invocation;
}

const mapping = { hostPort: 8080, containerPort: 80, protocol: 'tcp' };

describe('portmap', () => {
  test.for([
    { name: 'no runtimeConfig', config: {} },
    { name: 'no mappings', config: { runtimeConfig: {} } },
    { name: 'null for mappings', config: { runtimeConfig: { portMappings: null } } },
    { name: 'an empty list', config: { runtimeConfig: { portMappings: [] } } },
    {
      name: 'mappings of addresses of the other family only',
      config: { runtimeConfig: { portMappings: [{ ...mapping, hostIP: '::' }] } },
    },
  ])('returns the result and changes nothing with $name', ({ config }) => {
    const result = portmap.add(invocation({ prevResult, ...config }));
    expect(JSON.parse(renderResult(result, '0.3.1'))).toEqual({ ...prevResult, dns: {} });
    portmap.check?.(invocation({ prevResult, ...config }));
  });

  test('refuses to run outside of a list of plugins', () => {
    expect(() => portmap.add(invocation({}))).toThrow('must be called as chained plugin');
    expect(() => portmap.check?.(invocation({}))).toThrow('Required prevResult missing');
  });
});
