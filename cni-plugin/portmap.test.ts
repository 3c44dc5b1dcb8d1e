import { describe, expect, test } from 'vitest';
import { isJsonObject, parseJson } from '../lib/json.ts';
import { portmap } from './portmap.ts';
import { rootFields } from './protocol/fields.ts';
import type { Invocation } from './protocol/plugin.ts';
import { renderResult } from './protocol/result.ts';

const prevResult = { cniVersion: '0.3.1', ips: [{ version: '4', address: '10.1.2.3/24' }] };

function invocation(config: object): Invocation {
  const parsed = parseJson(JSON.stringify({ name: 'n1', ...config }));
  if (!isJsonObject(parsed)) throw new Error('not an object');
  // Only what portmap reads.
  return { config: parsed, root: rootFields(parsed), version: '0.3.1' } as unknown as Invocation;
}

describe('portmap', () => {
  test.for([
    { name: 'no runtimeConfig', config: {} },
    { name: 'no mappings', config: { runtimeConfig: {} } },
    { name: 'null for mappings', config: { runtimeConfig: { portMappings: null } } },
    { name: 'an empty list', config: { runtimeConfig: { portMappings: [] } } },
  ])('passes the result through with $name', ({ config }) => {
    const result = portmap.add(invocation({ prevResult, ...config }));
    expect(JSON.parse(renderResult(result, '0.3.1'))).toEqual({ ...prevResult, dns: {} });
    portmap.check?.(invocation({ prevResult, ...config }));
  });

  test('fails with code 100 and says why when mappings are asked for, also as containerd spells them', () => {
    const config = {
      prevResult,
      runtimeConfig: { portMappings: [{ HostPort: 80, ContainerPort: 80, Protocol: 'tcp' }] },
    };
    expect(() => portmap.add(invocation(config))).toThrow(
      expect.objectContaining({ code: 100, message: expect.stringContaining('1 port mapping requested') }),
    );
    expect(portmap.del(invocation(config))).toBeUndefined();
  });

  test('works in a chain only', () => {
    expect(() => portmap.add(invocation({}))).toThrow('must be called as chained plugin');
    expect(() => portmap.check?.(invocation({}))).toThrow('Required prevResult missing');
  });
});
