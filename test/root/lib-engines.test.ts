// lib parses text in the same way under Node and inside the CNI executable: same results, same errors, same refusals of hostile JSON. The
// inputs are random, but the same in every run.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compileProgram, type Executable } from '../support/executable.ts';
import { slowed } from '../support/slowness.ts';
import { callLib, type LibCall } from './fixtures/lib-calls.ts';

let executable: Executable;

beforeAll(async () => {
  executable = await compileProgram(join(import.meta.dirname, 'fixtures/lib-program.ts'));
}, slowed(120_000));
afterAll(() => executable?.remove());

function inExecutable(calls: readonly LibCall[]): unknown[] {
  const input = JSON.stringify(calls.map(({ call, text }) => [call, text]));
  const { status, stdout, stderr } = spawnSync(executable.path, { input, encoding: 'utf8', maxBuffer: 1 << 26 });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout) as unknown[];
}

/** Makes every call on both engines, requires equal results, and returns them. */
function onBoth(calls: readonly LibCall[]): string[] {
  const here = calls.map(callLib);
  expect(inExecutable(calls).map((result, at) => [calls[at], result])).toEqual(
    here.map((result, at) => [calls[at], result]),
  );
  return here;
}

function sample(arbitrary: fc.Arbitrary<string>, call: string, count: number): LibCall[] {
  return fc.sample(arbitrary, { numRuns: count, seed: 20_261_124 }).map((text) => ({ call, text }));
}

/** Text with a few characters replaced at random places. Most of it is invalid. */
function mutilated(arbitrary: fc.Arbitrary<string>, alphabet: string): fc.Arbitrary<string> {
  return fc.tuple(arbitrary, fc.nat(), fc.nat(2), fc.constantFrom(...alphabet)).map(([text, place, cut, put]) => {
    const at = place % (text.length + 1);
    return text.slice(0, at) + put + text.slice(at + cut);
  });
}

const ips = fc.oneof(fc.ipV4(), fc.ipV6());

describe('lib on both engines', () => {
  test('reads and writes addresses, prefixes and MACs in the same way', () => {
    const macs = fc.uint8Array({ minLength: 6, maxLength: 6 }).map((bytes) =>
      Buffer.from(bytes)
        .toString('hex')
        .replace(/..(?=.)/g, '$&:'),
    );
    const prefixes = fc.tuple(ips, fc.nat(140)).map(([ip, length]) => `${ip}/${length}`);
    const results = onBoth([
      ...sample(ips, 'ip', 300),
      ...sample(mutilated(ips, '0.:f/% '), 'ip', 300),
      ...sample(prefixes, 'prefix', 300),
      ...sample(macs, 'mac', 100),
      ...sample(mutilated(macs, ':gA-'), 'mac', 100),
    ]);
    expect(results.filter((result) => result.startsWith('IpError'))).not.toHaveLength(0);
    expect(results.filter((result) => !/^(Ip|Mac)Error/.test(result)).length).toBeGreaterThan(500);
  });

  test('reads and writes JSON in the same way, and names the same place of an error', () => {
    const documents = fc.json({ maxDepth: 4 });
    const results = onBoth([
      ...sample(documents, 'json', 300),
      ...sample(mutilated(documents, '{}[],:"\\0e-\u0001 '), 'json', 600),
    ]);
    expect(results.filter((result) => result.startsWith('JsonError: invalid JSON: line '))).not.toHaveLength(0);
  });

  test.for([
    {
      name: '__proto__ as a key',
      call: 'json',
      text: '{"__proto__":{"a":1},"constructor":2}',
      want: '{\n  "__proto__": {\n    "a": 1\n  },\n  "constructor": 2\n}',
    },
    { name: 'a key twice', call: 'json', text: '{"a":1,"a":2}', want: '{\n  "a": 2\n}' },
    {
      name: 'keys that differ in case',
      call: 'json',
      text: '{"MTU":1,"mtu":2}',
      want: '{\n  "MTU": 1,\n  "mtu": 2\n}',
    },
    {
      name: 'an integer beyond 2^53',
      call: 'json',
      text: '{"a":[9007199254740993]}',
      want: 'JsonError: a[0]: the number is beyond 2^53 and cannot be kept exactly',
    },
    {
      name: 'a number beyond all',
      call: 'json',
      text: '[1e999]',
      want: 'JsonError: [0]: the number is beyond 2^53 and cannot be kept exactly',
    },
    { name: '128 levels of lists', call: 'nested lists', text: '128', want: '['.repeat(128) + ']'.repeat(128) },
    {
      name: '129 levels of lists',
      call: 'nested lists',
      text: '129',
      want: 'JsonError: nested deeper than 128 levels',
    },
    {
      name: '200,000 levels of lists',
      call: 'nested lists',
      text: '200000',
      want: 'JsonError: nested deeper than 128 levels',
    },
    {
      name: '200,000 levels of objects',
      call: 'nested objects',
      text: '200000',
      want: 'JsonError: nested deeper than 128 levels',
    },
    {
      name: 'a configuration with unknown keys',
      call: 'net-conf',
      text: '{"network":"10.3.0.0/16","Netwrok":1}',
      want: 'vxlan\n10.3.1.0 10.3.255.0\nnet-conf: Netwrok: unknown key, ignored (did you mean Network?)',
    },
    {
      name: 'a SubnetLen that is text',
      call: 'net-conf',
      text: '{"Network":"10.3.0.0/16","SubnetLen":"x"}',
      want: 'ConfigError: net-conf: SubnetLen: expected integer 0–32, got "x"',
    },
    {
      name: 'subnet.env',
      call: 'subnet.env',
      text: 'FLANNEL_NETWORK=10.3.0.0/16\nFLANNEL_SUBNET=10.3.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n',
      want: 'FLANNEL_NETWORK=10.3.0.0/16\nFLANNEL_SUBNET=10.3.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n',
    },
    {
      name: 'an empty subnet.env',
      call: 'subnet.env',
      text: '',
      want: 'SubnetEnvError: /run/flannel/subnet.env is missing FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET, FLANNEL_MTU, FLANNEL_IPMASQ',
    },
  ])('$name', ({ call, text, want }) => {
    expect(onBoth([{ call, text }])).toEqual([want]);
  });

  test('invalid UTF-8 is refused where bytes become text, before any parser sees it', () => {
    const { status, stdout } = spawnSync(executable.path, {
      input: Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d]),
      encoding: 'utf8',
    });
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toHaveProperty('code');
  });
});
