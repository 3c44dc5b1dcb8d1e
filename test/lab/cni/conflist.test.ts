import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compareVersions, defaultNetworkList, findNetworkList, loadNetworkList, parseNetworkList } from './conflist.ts';
import { FakePlugins } from './fake-plugins.ts';

const flannel = { type: 'flannel', delegate: { isDefaultGateway: true } };
const portmap = { type: 'portmap', capabilities: { portMappings: true } };

function list(fields: object): string {
  return JSON.stringify({ name: 'cbr0', cniVersion: '0.3.1', plugins: [flannel, portmap], ...fields });
}

describe('parseNetworkList', () => {
  test('reads the classic list', () => {
    const parsed = parseNetworkList(list({}));
    expect(parsed).toMatchObject({ name: 'cbr0', cniVersion: '0.3.1', disableCheck: false, disableGc: false });
    expect(parsed.plugins.map(({ type, capabilities }) => [type, capabilities])).toEqual([
      ['flannel', {}],
      ['portmap', { portMappings: true }],
    ]);
    expect(parsed.plugins[0]?.conf).toEqual(flannel);
    expect(parsed.text).toBe(list({}));
  });

  test.for([
    { name: 'the highest version it knows', fields: { cniVersions: ['0.3.1', '1.1.0', '99.0.0'] }, want: '1.1.0' },
    {
      name: 'the single version when it is the highest',
      fields: { cniVersion: '1.0.0', cniVersions: ['0.4.0'] },
      want: '1.0.0',
    },
    { name: 'the single version when the list is empty', fields: { cniVersions: [] }, want: '0.3.1' },
    { name: 'by number, not by text', fields: { cniVersions: ['0.10.0', '0.9.0'] }, want: '0.10.0' },
    { name: 'nothing when none is given', fields: { cniVersion: undefined }, want: '' },
  ])('chooses $name', ({ fields, want }) => {
    expect(parseNetworkList(list(fields)).cniVersion).toBe(want);
  });

  test.for([
    { name: 'true', value: true, want: true },
    { name: '"TRUE"', value: 'TRUE', want: true },
    { name: '"False"', value: 'False', want: false },
  ])('reads disableCheck $name', ({ value, want }) => {
    expect(parseNetworkList(list({ disableCheck: value })).disableCheck).toBe(want);
  });

  test.for([
    { name: 'no JSON', text: '{', want: 'error parsing configuration list: ' },
    { name: 'an array', text: '[]', want: 'error parsing configuration list: not an object' },
    { name: 'no name', text: list({ name: undefined }), want: 'error parsing configuration list: no name' },
    {
      name: 'a name that is a number',
      text: list({ name: 1 }),
      want: 'error parsing configuration list: invalid name type number',
    },
    { name: 'a version that is a number', text: list({ cniVersion: 1 }), want: 'invalid cniVersion type number' },
    {
      name: 'a bad entry in cniVersions',
      text: list({ cniVersions: ['a.b'] }),
      want: 'invalid cniVersions entry a.b at index 0',
    },
    {
      name: 'a bad flag',
      text: list({ disableCheck: 'x' }),
      want: 'error parsing configuration list: invalid value "x" for disableCheck',
    },
    { name: 'a flag that is a number', text: list({ disableGC: 1 }), want: 'invalid type number for disableGC' },
    { name: 'no plugins', text: list({ plugins: [] }), want: 'error parsing configuration list: no plugins in list' },
    { name: 'plugins of another type', text: list({ plugins: {} }), want: "invalid 'plugins' type object" },
    {
      name: 'a plugin without type',
      text: list({ plugins: [flannel, {}] }),
      want: "failed to parse plugin config 1: error parsing configuration: missing 'type'",
    },
    {
      name: 'capabilities that are no booleans',
      text: list({ plugins: [{ ...flannel, capabilities: { a: 'yes' } }] }),
      want: "'capabilities' is not an object of booleans",
    },
    {
      name: 'only inline plugins wanted and none there',
      text: list({ plugins: undefined, loadOnlyInlinedPlugins: true }),
      want: "`loadOnlyInlinedPlugins` is true, and no 'plugins' key",
    },
  ])('refuses $name', ({ text, want }) => {
    expect(() => parseNetworkList(text)).toThrow(want);
  });
});

describe('loadNetworkList', () => {
  test('appends the plugins in the folder of the network, by name', () => {
    const fake = new FakePlugins();
    fake.writeConf('10-a.conflist', list({ plugins: [flannel] }));
    fake.writeConf('cbr0/20-b.conf', { type: 'second' });
    fake.writeConf('cbr0/10-a.conf', { type: 'first' });
    fake.writeConf('cbr0/30-c.json', { type: 'ignored' });
    const types = (path: string): string[] => loadNetworkList(path).plugins.map(({ type }) => type);
    expect(types(join(fake.confDir, '10-a.conflist'))).toEqual(['flannel', 'first', 'second']);
    fake.writeConf('10-a.conflist', list({ plugins: [flannel], loadOnlyInlinedPlugins: true }));
    expect(types(join(fake.confDir, '10-a.conflist'))).toEqual(['flannel']);
    fake.writeConf('10-a.conflist', list({ plugins: undefined }));
    expect(types(join(fake.confDir, '10-a.conflist'))).toEqual(['first', 'second']);
  });

  test('refuses a list without any plugin', () => {
    const fake = new FakePlugins();
    fake.writeConf('10-a.conflist', list({ plugins: undefined }));
    expect(() => loadNetworkList(join(fake.confDir, '10-a.conflist'))).toThrow('no plugin configs found');
  });
});

describe('defaultNetworkList', () => {
  test('is the first file by name, of whatever kind', () => {
    const fake = new FakePlugins();
    fake.writeConf('20-b.conflist', list({ name: 'b' }));
    fake.writeConf('10-a.conf', { name: 'a', cniVersion: '1.0.0', type: 'bridge' });
    fake.writeConf('00-ignored.txt', 'x');
    expect(defaultNetworkList(fake.confDir)).toMatchObject({
      name: 'a',
      cniVersion: '1.0.0',
      plugins: [{ type: 'bridge' }],
    });
  });

  test('does not skip a bad first file, as containerd does not', () => {
    const fake = new FakePlugins();
    fake.writeConf('10-a.conflist', '{');
    fake.writeConf('20-b.conflist', list({}));
    expect(() => defaultNetworkList(fake.confDir)).toThrow('error parsing configuration list');
  });

  test('says where it looked when there is none', () => {
    const fake = new FakePlugins();
    expect(() => defaultNetworkList(fake.confDir)).toThrow(`no network config found in ${fake.confDir}`);
    expect(() => defaultNetworkList('/nowhere')).toThrow('no network config found in /nowhere');
  });
});

describe('findNetworkList', () => {
  test('looks at lists first, and a malformed earlier file ends the search', () => {
    const fake = new FakePlugins();
    mkdirSync(join(fake.confDir, 'cbr0'));
    fake.writeConf('10-a.conf', { name: 'cbr0', cniVersion: '1.0.0', type: 'bridge' });
    fake.writeConf('20-b.conflist', list({}));
    expect(findNetworkList(fake.confDir, 'cbr0').plugins).toHaveLength(2);
    expect(() => findNetworkList(fake.confDir, 'other')).toThrow('no net configuration with name "other"');
    fake.writeConf('15-bad.conflist', '{');
    expect(() => findNetworkList(fake.confDir, 'cbr0')).toThrow('error parsing configuration list');
  });
});

test('compareVersions compares number by number', () => {
  expect(compareVersions('0.3.1', '0.4.0')).toBeLessThan(0);
  expect(compareVersions('1.0.0', '1.0')).toBe(0);
  expect(compareVersions('0.10.0', '0.9.9')).toBeGreaterThan(0);
});
