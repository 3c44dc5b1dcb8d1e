import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type NetworkList, parseNetworkList } from './conflist.ts';
import { CniDriver, sortedJson } from './driver.ts';
import { FakePlugins } from './fake-plugins.ts';
import { CniError, findPlugin } from './invoke.ts';
import { cachePath, type RuntimeConf } from './result-cache.ts';

const first = { cniVersion: '0.3.1', ips: [{ version: '4', address: '10.1.2.3/24' }] };
const second = { ...first, dns: { nameservers: ['1.1.1.1'] } };
const rt: RuntimeConf = {
  containerId: 'c1',
  netns: '/run/netns/x',
  ifName: 'eth0',
  args: [
    ['IgnoreUnknown', '1'],
    ['K8S_POD_NAME', 'p'],
  ],
  capabilityArgs: { portMappings: [{ hostPort: 80 }], bandwidth: { ingressRate: 1 } },
};

function chain(cniVersion: string, fields: object = {}): NetworkList {
  const plugins = [
    { type: 'flannel', capabilities: { bandwidth: false } },
    { type: 'portmap', capabilities: { portMappings: true } },
  ];
  return parseNetworkList(JSON.stringify({ name: 'cbr0', cniVersion, plugins, ...fields }));
}

function twoPlugins(): FakePlugins {
  const fake = new FakePlugins();
  fake.install('flannel', { ADD: { stdout: JSON.stringify(first) } });
  fake.install('portmap', { ADD: { stdout: JSON.stringify(second) } });
  return fake;
}

describe('ADD', () => {
  test('runs in order, passes each result on and caches the last one (case 172)', async () => {
    const fake = twoPlugins();
    const list = chain('0.3.1');
    const { result, runs } = await fake.driver.add(list, rt);
    expect(result).toEqual(second);
    expect(fake.order()).toEqual(['flannel ADD', 'portmap ADD']);
    const [flannel, portmap] = fake.calls();
    expect(flannel?.stdin).toEqual({
      name: 'cbr0',
      cniVersion: '0.3.1',
      type: 'flannel',
      capabilities: { bandwidth: false },
    });
    expect(portmap?.stdin).toEqual({
      name: 'cbr0',
      cniVersion: '0.3.1',
      type: 'portmap',
      capabilities: { portMappings: true },
      prevResult: first,
      runtimeConfig: { portMappings: [{ hostPort: 80 }] },
    });
    expect(runs.map(({ type, command, exitCode }) => [type, command, exitCode])).toEqual([
      ['flannel', 'ADD', 0],
      ['portmap', 'ADD', 0],
    ]);
    for (const run of runs) expect(run.endNs).toBeGreaterThan(run.startNs);
    expect(runs[1]?.startNs).toBeGreaterThan(runs[0]?.endNs ?? Number.POSITIVE_INFINITY);
  });

  test('passes exactly the CNI variables and a PATH', async () => {
    const fake = twoPlugins();
    await fake.driver.add(chain('0.3.1'), rt);
    const env = { ...fake.calls()[0]?.env };
    expect(env['PATH']).toContain('/usr/bin');
    delete env['PATH'];
    expect(env).toEqual({
      CNI_COMMAND: 'ADD',
      CNI_CONTAINERID: 'c1',
      CNI_NETNS: '/run/netns/x',
      CNI_IFNAME: 'eth0',
      CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAME=p',
      CNI_PATH: fake.bin,
    });
  });

  test('writes the cache as libcni does', async () => {
    const fake = twoPlugins();
    const list = chain('0.3.1');
    await fake.driver.add(list, rt);
    const path = `${fake.cacheDir}/results/cbr0-c1-eth0`;
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(dirname(path)).mode & 0o777).toBe(0o700);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({
      kind: 'cniCacheV1',
      containerId: 'c1',
      config: Buffer.from(list.text).toString('base64'),
      ifName: 'eth0',
      networkName: 'cbr0',
      netns: '/run/netns/x',
      cniArgs: rt.args,
      capabilityArgs: rt.capabilityArgs,
      result: second,
    });
  });

  test('stops at the plugin that fails and caches nothing; code and details stay readable', async () => {
    const fake = twoPlugins();
    fake.install('flannel', { ADD: { stdout: '{"code":11,"msg":"no subnet.env","details":"yet"}', exitCode: 1 } });
    const error = await fake.driver.add(chain('0.3.1'), rt).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CniError);
    expect(error).toMatchObject({ code: 11, message: 'plugin type="flannel" failed (add): no subnet.env; yet' });
    expect(fake.order()).toEqual(['flannel ADD']);
    expect(existsSync(cachePath(fake.cacheDir, 'cbr0', rt))).toBe(false);
  });

  test.for([
    { name: 'nothing at all', answer: { exitCode: 3 }, want: 'netplugin failed with no error message: exit status 3' },
    { name: 'only stderr', answer: { exitCode: 1, stderr: 'oops' }, want: 'netplugin failed: "oops"' },
    { name: 'no JSON', answer: { exitCode: 1, stdout: 'oops' }, want: 'error parsing its diagnostic message "oops"' },
  ])('reports as much as it can of a plugin that fails with $name', async ({ answer, want }) => {
    const fake = twoPlugins();
    fake.install('flannel', { ADD: answer });
    await expect(fake.driver.add(chain('0.3.1'), rt)).rejects.toThrow(want);
  });

  test('kills a plugin that takes too long', async () => {
    const fake = twoPlugins();
    writeFileSync(`${fake.bin}/flannel`, '#!/bin/sh\nexec sleep 60\n', { mode: 0o755 });
    const driver = new CniDriver({ cniPath: [fake.bin], cacheDir: fake.cacheDir, timeoutMs: 100 });
    await expect(driver.add(chain('0.3.1'), rt)).rejects.toThrow(
      'netplugin failed with no error message: signal: SIGKILL',
    );
  });

  test('gives a result without a version the version of the configuration', async () => {
    const fake = twoPlugins();
    fake.install('portmap', { ADD: { stdout: '{}' } });
    expect((await fake.driver.add(chain('1.0.0'), rt)).result).toEqual({ cniVersion: '1.0.0' });
  });

  test.for([
    { name: 'container id', conf: { containerId: 'a b' }, want: 'invalid characters in containerID' },
    { name: 'long interface name', conf: { ifName: 'a123456789012345' }, want: 'interface name is too long' },
    { name: 'interface name with a slash', conf: { ifName: 'a/b' }, want: 'interface name contains /' },
    { name: 'empty interface name', conf: { ifName: '' }, want: 'interface name is empty' },
  ])('refuses a bad $name before any plugin runs', async ({ conf, want }) => {
    const fake = twoPlugins();
    await expect(fake.driver.add(chain('0.3.1'), { ...rt, ...conf })).rejects.toThrow(want);
    expect(fake.order()).toEqual([]);
  });
});

describe('DEL', () => {
  test('runs in reverse and removes the cached result (case 172)', async () => {
    const fake = twoPlugins();
    await fake.driver.add(chain('1.0.0'), rt);
    await fake.driver.del(chain('1.0.0'), rt);
    expect(fake.order().slice(2)).toEqual(['portmap DEL', 'flannel DEL']);
    for (const { stdin } of fake.calls().slice(2)) expect(stdin['prevResult']).toEqual(second);
    expect(existsSync(cachePath(fake.cacheDir, 'cbr0', rt))).toBe(false);
  });

  test('gives no previous result before 0.4.0', async () => {
    const fake = twoPlugins();
    await fake.driver.add(chain('0.3.1'), rt);
    await fake.driver.del(chain('0.3.1'), rt);
    expect(fake.order().slice(2)).toEqual(['portmap DEL', 'flannel DEL']);
    for (const { stdin } of fake.calls().slice(2)) expect(stdin).not.toHaveProperty('prevResult');
  });

  test('stops at the first plugin that fails and keeps the cached result for the next try', async () => {
    const fake = twoPlugins();
    await fake.driver.add(chain('1.0.0'), rt);
    fake.install('portmap', { DEL: { stdout: '{"code":999,"msg":"busy"}', exitCode: 1 } });
    await expect(fake.driver.del(chain('1.0.0'), rt)).rejects.toThrow('plugin type="portmap" failed (delete): busy');
    expect(fake.order().at(-1)).toBe('portmap DEL');
    expect(existsSync(cachePath(fake.cacheDir, 'cbr0', rt))).toBe(true);
  });

  test('tolerates a cached result that cannot be read, and one that is not there (case 178)', async () => {
    const fake = twoPlugins();
    await fake.driver.add(chain('1.0.0'), rt);
    writeFileSync(cachePath(fake.cacheDir, 'cbr0', rt), '{"kind":');
    await fake.driver.del(chain('1.0.0'), rt);
    await fake.driver.del(chain('1.0.0'), rt);
    expect(fake.order().slice(2)).toEqual(['portmap DEL', 'flannel DEL', 'portmap DEL', 'flannel DEL']);
    for (const { stdin } of fake.calls().slice(2)) expect(stdin).not.toHaveProperty('prevResult');
  });
});

describe('CHECK', () => {
  test('runs forward with the cached result', async () => {
    const fake = twoPlugins();
    await fake.driver.add(chain('1.0.0'), rt);
    await fake.driver.check(chain('1.0.0'), rt);
    expect(fake.order().slice(2)).toEqual(['flannel CHECK', 'portmap CHECK']);
    for (const { stdin } of fake.calls().slice(2)) expect(stdin['prevResult']).toEqual(second);
  });

  test('needs 0.4.0', async () => {
    const fake = twoPlugins();
    const check = fake.driver.check(chain('0.3.1'), rt);
    await expect(check).rejects.toThrow('configuration version "0.3.1" does not support the CHECK command');
  });

  test('does nothing when the list disables it (case 174)', async () => {
    const fake = twoPlugins();
    await fake.driver.check(chain('1.0.0', { disableCheck: 'TRUE' }), rt);
    expect(fake.order()).toEqual([]);
  });

  test.for([
    { name: 'is corrupt', text: '{"kind":' },
    { name: 'is of another kind', text: '{"kind":"x","result":{}}' },
    { name: 'is missing', text: undefined },
  ])('fails when the cached result $name (case 178)', async ({ text }) => {
    const fake = twoPlugins();
    if (text !== undefined) {
      const path = cachePath(fake.cacheDir, 'cbr0', rt);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
    await expect(fake.driver.check(chain('1.0.0'), rt)).rejects.toThrow('failed to get network "cbr0" cached result');
    expect(fake.order()).toEqual([]);
  });
});

describe('STATUS', () => {
  test('stops at the first plugin that is not ready (case 177)', async () => {
    const fake = twoPlugins();
    fake.install('flannel', { STATUS: { stdout: '{"code":50,"msg":"no subnet.env"}', exitCode: 1 } });
    const error = await fake.driver.status(chain('1.1.0')).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 50 });
    expect(fake.order()).toEqual(['flannel STATUS']);
  });

  test('sets the variables of an attachment empty', async () => {
    const fake = twoPlugins();
    await fake.driver.status(chain('1.1.0'));
    expect(fake.order()).toEqual(['flannel STATUS', 'portmap STATUS']);
    expect(fake.calls()[0]?.env).toMatchObject({ CNI_CONTAINERID: '', CNI_NETNS: '', CNI_IFNAME: '', CNI_ARGS: '' });
  });

  test('runs no plugin before 1.1.0', async () => {
    const fake = twoPlugins();
    await fake.driver.status(chain('1.0.0'));
    expect(fake.order()).toEqual([]);
  });
});

describe('GC', () => {
  const other: RuntimeConf = { ...rt, containerId: 'c2' };

  test('runs DEL for cached attachments that are not valid, then GC of every plugin (case 173)', async () => {
    const fake = twoPlugins();
    const list = chain('1.1.0');
    await fake.driver.add(list, rt);
    await fake.driver.add(list, other);
    const valid = [{ containerID: 'c2', ifname: 'eth0' }];
    await fake.driver.gc(list, valid);
    expect(fake.order().slice(4)).toEqual(['portmap DEL', 'flannel DEL', 'flannel GC', 'portmap GC']);
    const [del, , gc] = fake.calls().slice(4);
    expect(del?.env['CNI_CONTAINERID']).toBe('c1');
    expect(del?.stdin['runtimeConfig']).toEqual({ portMappings: [{ hostPort: 80 }] });
    expect(gc?.stdin).toMatchObject({ 'cni.dev/valid-attachments': valid, 'cni.dev/attachments': valid });
    expect(existsSync(cachePath(fake.cacheDir, 'cbr0', rt))).toBe(false);
    expect(existsSync(cachePath(fake.cacheDir, 'cbr0', other))).toBe(true);
  });

  test('does not touch other networks', async () => {
    const fake = twoPlugins();
    await fake.driver.add(chain('1.1.0', { name: 'other' }), rt);
    await fake.driver.gc(chain('1.1.0'), []);
    expect(fake.order().slice(2)).toEqual(['flannel GC', 'portmap GC']);
  });

  test('goes on after errors and reports all of them', async () => {
    const fake = twoPlugins();
    fake.install('flannel', { GC: { stdout: '{"code":1,"msg":"one"}', exitCode: 1 } });
    fake.install('portmap', { GC: { stdout: '{"code":1,"msg":"two"}', exitCode: 1 } });
    const error = await fake.driver.gc(chain('1.1.0'), []).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AggregateError);
    expect(String(error)).toMatch(/one[\s\S]*two/);
  });

  test('only runs DEL before 1.1.0, and does nothing when the list disables it', async () => {
    const fake = twoPlugins();
    await fake.driver.add(chain('1.0.0'), rt);
    await fake.driver.gc(chain('1.0.0', { disableGC: true }), []);
    expect(fake.order()).toHaveLength(2);
    await fake.driver.gc(chain('1.0.0'), []);
    expect(fake.order().slice(2)).toEqual(['portmap DEL', 'flannel DEL']);
  });
});

describe('findPlugin', () => {
  test.for([
    { name: 'a slash', type: 'a/b', folders: ['/x'], want: 'invalid plugin name: a/b' },
    { name: 'no name', type: '', folders: ['/x'], want: 'no plugin name provided' },
    { name: 'no folders', type: 'a', folders: [], want: 'no paths provided' },
    { name: 'no such file', type: 'a', folders: ['/x', '/y'], want: 'failed to find plugin "a" in path [/x /y]' },
  ])('refuses $name', ({ type, folders, want }) => {
    expect(() => findPlugin(type, folders)).toThrow(want);
  });

  test('ignores a folder of that name', () => {
    const fake = twoPlugins();
    mkdirSync(`${fake.confDir}/flannel`);
    expect(findPlugin('flannel', [fake.confDir, fake.bin])).toBe(`${fake.bin}/flannel`);
  });
});

test('sortedJson writes keys in order at every depth, as Go does', () => {
  expect(sortedJson({ b: [{ d: 1, c: 2 }], a: null })).toBe('{"a":null,"b":[{"c":2,"d":1}]}');
});
