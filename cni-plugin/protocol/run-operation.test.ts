import { describe, expect, test } from 'vitest';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { withoutVersion } from '../../test/support/cni-error.ts';
import { CniError, DelegateError, failure } from './error.ts';
import type { Invocation, Plugin, Surroundings } from './plugin.ts';
import { emptyDns, type Result } from './result.ts';
import { runPlugin } from './run-operation.ts';
import { ALL_VERSIONS } from './versions.ts';

const sys = openKoffiSyscalls();
const nothing: Result = { interfaces: [], ips: [], routes: [], dns: emptyDns() };

interface Spy extends Plugin {
  readonly calls: Invocation[];
}

function spy(supported: readonly string[] = ALL_VERSIONS): Spy {
  const calls: Invocation[] = [];
  const record = (invocation: Invocation): void => {
    calls.push(invocation);
  };
  return {
    name: 'spy',
    supported,
    calls,
    add(invocation) {
      record(invocation);
      return nothing;
    },
    del: record,
    check: record,
    status: record,
    gc: record,
  };
}

function run(plugin: Plugin, command: string, stdin: string | Uint8Array, env: Record<string, string> = {}) {
  const variables: Record<string, string> = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: 'c1',
    CNI_NETNS: '/no/such/netns',
    CNI_IFNAME: 'eth0',
    CNI_PATH: '/opt/cni/bin',
    ...env,
  };
  const surroundings: Surroundings = {
    sys,
    stdin: () => (typeof stdin === 'string' ? sys.arena.encode(stdin) : stdin),
    env: (name) => variables[name],
    environment: () => [],
  };
  return runPlugin(plugin, surroundings);
}

function errorOf(output: { readonly stdout: string; readonly code: number }): unknown {
  expect(output.code).toBe(1);
  return withoutVersion(JSON.parse(output.stdout) as object);
}

describe('runPlugin', () => {
  test('answers VERSION in one compact line without reading stdin', () => {
    const surroundings: Surroundings = {
      sys,
      stdin: () => {
        throw new Error('stdin was read');
      },
      env: (name) => (name === 'CNI_COMMAND' ? 'VERSION' : undefined),
      environment: () => [],
    };
    expect(runPlugin(spy(), surroundings)).toEqual({
      stdout: '{"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}\n',
      stderr: '',
      code: 0,
    });
  });

  test('prints its name and versions on stderr when there is no command, and succeeds', () => {
    const output = run(spy(), '', '{}', { CNI_IFNAME: 'a/b' });
    expect(output).toMatchObject({ stdout: '', code: 0 });
    expect(output.stderr).toContain('CNI protocol versions supported: 0.1.0, 0.2.0,');
  });

  test.for([
    { name: 'an empty stdin', stdin: '', code: 6 },
    { name: 'half an object', stdin: '{', code: 6 },
    { name: 'a list', stdin: '[]', code: 6 },
    { name: 'bytes that are not UTF-8', stdin: new Uint8Array([0x7b, 0xff, 0x7d]), code: 6 },
    { name: 'a name that is not a string', stdin: '{"name":1}', code: 6 },
    { name: 'a nesting of 200,000 levels', stdin: `{"name":${'['.repeat(200_000)}`, code: 6 },
    { name: 'an integer beyond 2^53', stdin: '{"name":"n1","x":9007199254740993}', code: 6 },
  ])('answers $name with code $code', ({ stdin, code }) => {
    expect(errorOf(run(spy(), 'ADD', stdin))).toMatchObject({
      code,
      msg: expect.stringContaining('error unmarshall network config: '),
    });
  });

  test.for([
    { name: 'no name', stdin: '{}', want: { code: 7, msg: 'missing network name' } },
    { name: 'an empty name', stdin: '{"name":""}', want: { code: 7, msg: 'missing network name' } },
    {
      name: 'a bad name',
      stdin: '{"name":"a b"}',
      want: { code: 7, msg: 'invalid characters found in network name', details: 'a b' },
    },
    {
      name: 'a version between two supported ones',
      stdin: '{"name":"n1","cniVersion":"0.5.0"}',
      want: {
        code: 1,
        msg: 'incompatible CNI versions',
        details: 'config is "0.5.0", plugin supports ["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]',
      },
    },
  ])('refuses $name on ADD', ({ stdin, want }) => {
    expect(errorOf(run(spy(), 'ADD', stdin))).toEqual(want);
  });

  test.for([
    { command: 'CHECK', version: '0.3.1', want: { code: 1, msg: 'config version does not allow CHECK' } },
    { command: 'GC', version: '1.0.0', want: { code: 1, msg: 'config version does not allow GC' } },
    { command: 'STATUS', version: '1.0.0', want: { code: 1, msg: 'config version does not allow STATUS' } },
    { command: 'CHECK', version: 'adsf', want: { code: 6, msg: expect.anything() } },
  ])('refuses $command with version $version', ({ command, version, want }) => {
    expect(errorOf(run(spy(), command, `{"name":"n1","cniVersion":"${version}"}`))).toEqual(want);
  });

  test('reports that the plugin, and not the configuration, is too old', () => {
    const stdin = '{"name":"n1","cniVersion":"1.1.0"}';
    expect(errorOf(run(spy(['0.3.1', '1.0.0']), 'GC', stdin))).toEqual({
      code: 1,
      msg: 'plugin version does not allow GC',
    });
  });

  test('passes on a configuration with keys in any letter case, and counts a missing version as 0.1.0', () => {
    const plugin = spy();
    expect(run(plugin, 'DEL', '{"NAME":"n1"}')).toEqual({ stdout: '', stderr: '', code: 0 });
    expect(plugin.calls).toMatchObject([{ name: 'n1', version: '0.1.0', containerId: 'c1', ifname: 'eth0' }]);
  });

  test.for(['ADD', 'DEL'])('refuses the plugin’s own netns before %s does anything', (command) => {
    const plugin = spy();
    const env = { CNI_NETNS: '/proc/self/ns/net' };
    expect(errorOf(run(plugin, command, '{"name":"n1","cniVersion":"1.0.0"}', env))).toEqual({
      code: 8,
      msg: "plugin's netns and netns from CNI_NETNS should not be the same",
    });
    expect(plugin.calls).toEqual([]);
    expect(
      run(plugin, command, '{"name":"n1","cniVersion":"1.0.0"}', { ...env, CNI_NETNS_OVERRIDE: 'True' }).code,
    ).toBe(0);
  });

  test.for([
    { name: 'an error of its own', thrown: new CniError(11, 'no', 'look there'), want: 'look there; weft 0.1.0' },
    { name: 'one without details', thrown: failure('no'), want: 'weft 0.1.0' },
    { name: 'a delegate’s', thrown: new DelegateError(11, 'no', 'look there'), want: 'look there' },
    { name: 'a delegate’s without details', thrown: new DelegateError(11, 'no'), want: undefined },
  ])('appends the build that failed to the details, except to those of a delegate: $name', ({ thrown, want }) => {
    const plugin: Plugin = {
      ...spy(),
      add() {
        throw thrown;
      },
    };
    const { stdout } = run(plugin, 'ADD', '{"name":"n1","cniVersion":"1.0.0"}');
    expect((JSON.parse(stdout) as { details?: string }).details).toBe(want);
  });

  test('escapes an error text as Go does and keeps the notes for stderr', () => {
    const plugin: Plugin = {
      ...spy(),
      add(invocation) {
        invocation.note('one');
        throw failure('<&>');
      },
    };
    expect(run(plugin, 'ADD', '{"name":"n1","cniVersion":"1.0.0"}')).toEqual({
      stdout: '{\n    "code": 999,\n    "msg": "\\u003c\\u0026\\u003e",\n    "details": "weft 0.1.0"\n}\n',
      stderr: 'one\n',
      code: 1,
    });
  });
});
