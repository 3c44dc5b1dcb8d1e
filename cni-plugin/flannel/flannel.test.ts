import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type JsonObject, parseJson } from '../../lib/json.ts';
import { listStates, loadState, removeState } from '../../lib/pods/saved-config.ts';
import { parseSubnetEnv } from '../../lib/subnet-env.ts';
import { closeFd, isLocked } from '../../lib/sys/file.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { emptyObject, rootFields } from '../protocol/fields.ts';
import { encodeForGo } from '../protocol/go-json.ts';
import type { Invocation } from '../protocol/plugin.ts';
import { delegateConfig, parseFlannelConfig, readSubnetEnv } from './flannel-config.ts';
import { saveState } from './state.ts';

const sys = openKoffiSyscalls();
const v4 = 'FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.17.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n';
const v6 = 'FLANNEL_IPV6_NETWORK=fc00::/48\nFLANNEL_IPV6_SUBNET=fc00::1/64\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n';

function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'weft-fl-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  return dir;
}

function invocationOf(config: JsonObject): Invocation {
  return {
    command: 'ADD',
    containerId: 'c1',
    netns: '',
    ifname: 'eth0',
    args: '',
    path: '',
    netnsOverride: false,
    surroundings: { sys, stdin: () => new Uint8Array(), env: () => undefined, environment: () => [] },
    sys,
    version: '1.0.0',
    name: 'cni-flannel',
    config,
    root: rootFields(config),
    netnsHandle: undefined,
    note: () => undefined,
    holdLock: () => undefined,
  };
}

/** The delegate's configuration as it is saved. */
function delegate(config: object, env: string): unknown {
  const parsed = parseJson(JSON.stringify({ name: 'cni-flannel', type: 'flannel', cniVersion: '1.0.0', ...config }));
  const invocation = invocationOf(parsed as JsonObject);
  const flannel = parseFlannelConfig(invocation);
  return JSON.parse(encodeForGo(delegateConfig(invocation, flannel, parseSubnetEnv(env, 'subnet.env'))));
}

const whole = {
  cniVersion: '1.0.0',
  ipMasq: false,
  ipam: { ranges: [[{ subnet: '10.1.17.0/24' }]], routes: [{ dst: '10.1.0.0/16' }], type: 'host-local' },
  isGateway: true,
  mtu: 1472,
  name: 'cni-flannel',
  type: 'bridge',
};

describe('delegateConfig', () => {
  test.for([
    { name: 'fills in all keys that the delegate does not have', config: {}, env: v4, want: whole },
    {
      name: 'keeps the keys that the delegate has',
      config: { delegate: { ipMasq: true, mtu: 1300, isGateway: false, bridge: 'brx' } },
      env: v4,
      want: { ...whole, ipMasq: true, mtu: 1300, isGateway: false, bridge: 'brx' },
    },
    {
      name: 'does not add a key that is there in other letter case',
      config: { delegate: { IPMASQ: true, Mtu: 1300 } },
      env: v4,
      want: (({ ipMasq: _, mtu: __, ...rest }) => ({ ...rest, IPMASQ: true, Mtu: 1300 }))(whole),
    },
    {
      name: 'does not set isGateway for delegates other than bridge',
      config: { delegate: { type: 'ptp' } },
      env: v4,
      want: (({ isGateway: _, ...rest }) => ({ ...rest, type: 'ptp' }))(whole),
    },
    {
      name: 'keeps unknown ipam keys, replaces ranges, extends routes',
      config: {
        ipam: { unknown: 'v', Ranges: [['x']], ranges: [['y']], routes: [{ dst: '1.2.3.0/24', gw: '1.2.3.4' }] },
      },
      env: v4,
      want: {
        ...whole,
        ipam: {
          ...whole.ipam,
          Ranges: [['x']],
          unknown: 'v',
          routes: [{ dst: '1.2.3.0/24', gw: '1.2.3.4' }, { dst: '10.1.0.0/16' }],
        },
      },
    },
    {
      name: 'lets the delegate masquerade when the agent does not, with IPv6 alone',
      config: {},
      env: v6,
      want: {
        ...whole,
        ipMasq: true,
        ipam: { type: 'host-local', ranges: [[{ subnet: 'fc00::/64' }]], routes: [{ dst: 'fc00::/48' }] },
      },
    },
    {
      name: 'has a range set of each family, IPv4 first, and a route for each network once',
      config: {},
      env: `${v6}FLANNEL_NETWORK=10.1.0.0/16,10.2.0.0/16,10.1.0.0/16\nFLANNEL_SUBNET=10.1.17.1/24\n`,
      want: {
        ...whole,
        ipMasq: true,
        ipam: {
          type: 'host-local',
          ranges: [[{ subnet: '10.1.17.0/24' }], [{ subnet: 'fc00::/64' }]],
          routes: [{ dst: '10.1.0.0/16' }, { dst: '10.2.0.0/16' }, { dst: 'fc00::/48' }],
        },
      },
    },
    {
      name: 'passes runtimeConfig to the delegate, and neither args nor prevResult',
      config: { runtimeConfig: { mac: 'c2:11:22:33:44:55' }, args: { cni: {} }, prevResult: {}, capabilities: {} },
      env: v4,
      want: { ...whole, runtimeConfig: { mac: 'c2:11:22:33:44:55' } },
    },
  ])('$name', ({ config, env, want }) => {
    expect(delegate(config, env)).toEqual(want);
  });
});

describe('parseFlannelConfig', () => {
  test.for([
    { delegate: { name: 'x' }, want: "'delegate' dictionary must not have 'name' field, it'll be set by flannel" },
    { delegate: { ipam: {} }, want: "'delegate' dictionary must not have 'ipam' field, it'll be set by flannel" },
    { delegate: { type: 5 }, want: "'delegate' dictionary, if present, must have (string) 'type' field" },
  ])('refuses a delegate: $want', ({ delegate: given, want }) => {
    expect(() => delegate({ delegate: given }, v4)).toThrow(expect.objectContaining({ code: 999, message: want }));
  });
});

describe('readSubnetEnv', () => {
  test.for([
    { name: 'no file', text: undefined, want: 'open FILE: no such file or directory' },
    { name: 'an empty file', text: '', want: 'FILE is missing FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET,' },
    { name: 'a bad MTU', text: v4.replace('1472', 'abc'), want: 'strconv.ParseUint: parsing "abc": invalid syntax' },
    { name: 'a bad subnet', text: v4.replace('10.1.17.1/24', 'foo'), want: 'invalid CIDR address: foo' },
  ])('says what is wrong with $name and where to look', ({ text, want }) => {
    const file = join(tempDir(), 'subnet.env');
    if (text !== undefined) writeFileSync(file, text);
    const reason = want.replace('FILE', file);
    expect(() => readSubnetEnv(sys, file)).toThrow(`failed to load flannel 'subnet.env' file: ${reason}`);
    expect(() => readSubnetEnv(sys, file)).toThrow(/\. Check the flannel pod log for this node\.$/);
  });
});

describe('saved delegate configurations', () => {
  const close = (fd: number): void => closeFd(sys, fd);
  const config = parseJson('{"name":"n1","type":"bridge","b":"<"}') as JsonObject;
  const other = parseJson('{"name":"n1","type":"ptp"}') as JsonObject;
  const eth0 = { containerId: 'c1', ifname: 'eth0' };
  const eth1 = { containerId: 'c1', ifname: 'eth1' };

  test('are one file for each attachment, with flannel’s file name for the first attachment of a container', () => {
    const dir = join(tempDir(), 'a', 'b');
    saveState(sys, dir, eth0, config, close);
    saveState(sys, dir, eth1, other, close);
    expect(readdirSync(dir).sort()).toEqual(['c1', 'c1:eth0', 'c1:eth1']);
    expect(readFileSync(join(dir, 'c1'), 'utf8')).toBe('{"b":"\\u003c","name":"n1","type":"bridge"}');
    expect(loadState(sys, dir, eth1)).toEqual(other);
    removeState(sys, dir, eth1);
    expect(readdirSync(dir).sort()).toEqual(['c1', 'c1:eth0']);
    removeState(sys, dir, eth0);
    expect(readdirSync(dir)).toEqual([]);
    removeState(sys, dir, eth0);
  });

  test('stay locked as long as the ADD that saved them runs, also when it replaced an older file', () => {
    const dir = tempDir();
    const path = join(dir, 'c1:eth0');
    for (const saved of [config, config, other]) {
      const locks: number[] = [];
      saveState(sys, dir, eth0, saved, (fd) => locks.push(fd));
      expect([isLocked(sys, path), isLocked(sys, join(dir, 'c1'))]).toEqual([true, true]);
      locks.forEach(close);
      expect(isLocked(sys, path)).toBe(false);
    }
  });

  test('are restored when the ADD that replaced them fails', () => {
    const dir = join(tempDir(), 'a');
    saveState(sys, dir, eth0, config, close);
    const undo = saveState(sys, dir, eth0, other, close);
    expect([loadState(sys, dir, eth0), readFileSync(join(dir, 'c1'), 'utf8')]).toEqual([other, encodeForGo(other)]);
    undo();
    expect(loadState(sys, dir, eth0)).toEqual(config);
    expect(readFileSync(join(dir, 'c1'), 'utf8')).toBe(encodeForGo(config));
    removeState(sys, dir, eth0);
    expect(readdirSync(dir)).toEqual([]);
  });

  test('are removed when the ADD that made them fails, and those of other attachments stay', () => {
    const dir = tempDir();
    writeFileSync(join(dir, 'c1'), 'flannel made this');
    saveState(sys, dir, eth0, config, close)();
    expect(readdirSync(dir)).toEqual(['c1']);
  });

  test('are found under the file name that flannel uses', () => {
    const dir = tempDir();
    writeFileSync(join(dir, 'c1'), encodeForGo(config));
    expect(loadState(sys, dir, eth0)).toEqual(config);
    removeState(sys, dir, eth0);
    expect(existsSync(join(dir, 'c1'))).toBe(false);
  });

  test.for(['', '{bad', '[]', '"x"'])('are reported as corrupt when their text is %j', (text) => {
    const dir = tempDir();
    writeFileSync(join(dir, 'c1'), text);
    expect(loadState(sys, dir, eth0)).toBe('corrupt');
    expect(loadState(sys, dir, { ...eth0, containerId: 'c2' })).toBeUndefined();
  });

  test('are listed by network', () => {
    const dir = tempDir();
    saveState(sys, dir, eth0, config, close);
    saveState(sys, dir, { containerId: 'c2', ifname: 'eth0' }, parseJson('{"name":"n2"}') as JsonObject, close);
    mkdirSync(join(dir, 'x:y'));
    rmSync(join(dir, 'x:y'), { recursive: true });
    linkSync(join(dir, 'c1'), join(dir, '.c9:eth0.77'));
    expect(listStates(sys, dir, 'n1')).toEqual([eth0]);
    expect(listStates(sys, join(dir, 'none'), 'n1')).toEqual([]);
  });
});

test('can be read without any key of the outer configuration', () => {
  expect(parseFlannelConfig(invocationOf(emptyObject))).toMatchObject({
    subnetFile: '/run/flannel/subnet.env',
    stateFolder: '/var/lib/cni/flannel',
    delegateType: 'bridge',
    execDelegates: false,
  });
});
