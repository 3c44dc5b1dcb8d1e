import { describe, expect, test } from 'vitest';
import { readEnvironment } from './env.ts';
import { CniError } from './error.ts';

const whole = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/run/netns/x',
  CNI_IFNAME: 'eth0',
  CNI_PATH: '/opt/cni/bin',
};

function read(env: Record<string, string>): unknown {
  try {
    return readEnvironment((name) => env[name]);
  } catch (thrown) {
    if (!(thrown instanceof CniError)) throw thrown;
    return { code: thrown.code, msg: thrown.message, details: thrown.details };
  }
}

describe('readEnvironment', () => {
  test('returns every variable by its meaning', () => {
    expect(read({ ...whole, CNI_ARGS: 'A=b' })).toEqual({
      command: 'ADD',
      containerId: 'c1',
      netns: '/run/netns/x',
      ifname: 'eth0',
      args: 'A=b',
      path: '/opt/cni/bin',
      netnsOverride: false,
    });
  });

  test.for([
    { name: 'an unknown command', env: { CNI_COMMAND: 'FOO' }, want: 'unknown CNI_COMMAND: FOO' },
    { name: 'a command in lower case', env: { CNI_COMMAND: 'add' }, want: 'unknown CNI_COMMAND: add' },
    { name: 'an empty netns on ADD', env: { CNI_NETNS: '' }, want: 'required env variables [CNI_NETNS] missing' },
    {
      name: 'all variables missing on ADD, in order',
      env: { CNI_CONTAINERID: '', CNI_NETNS: '', CNI_IFNAME: '', CNI_PATH: '' },
      want: 'required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing',
    },
    {
      name: 'no interface name on CHECK',
      env: { CNI_COMMAND: 'CHECK', CNI_IFNAME: '' },
      want: 'required env variables [CNI_IFNAME] missing',
    },
    {
      name: 'no path on GC, though nothing else is needed',
      env: { CNI_COMMAND: 'GC', CNI_CONTAINERID: '', CNI_NETNS: '', CNI_IFNAME: '', CNI_PATH: '' },
      want: 'required env variables [CNI_PATH] missing',
    },
    {
      name: 'a bad container id, before missing variables',
      env: { CNI_CONTAINERID: 'some-%%container-id', CNI_PATH: '' },
      want: 'invalid characters in containerID',
    },
    {
      name: 'a container id with a dot in front',
      env: { CNI_CONTAINERID: '.x' },
      want: 'invalid characters in containerID',
    },
    { name: 'a name of 16 bytes', env: { CNI_IFNAME: 'abcdefghijklmnop' }, want: 'interface name is too long' },
    { name: 'a name of 16 bytes in 8 letters', env: { CNI_IFNAME: 'éééééééé' }, want: 'interface name is too long' },
    { name: 'dot', env: { CNI_IFNAME: '.' }, want: 'interface name is . or ..' },
    { name: 'dots', env: { CNI_IFNAME: '..' }, want: 'interface name is . or ..' },
    ...['a/b', 'a:b', 'a b', 'a\u00a0b', 'a\u2003b'].map((ifname) => ({
      name: `the name ${JSON.stringify(ifname)}`,
      env: { CNI_IFNAME: ifname },
      want: 'interface name contains / or : or whitespace characters',
    })),
  ])('refuses $name with code 4', ({ env, want }) => {
    expect(read({ ...whole, ...env })).toMatchObject({ code: 4, msg: want });
  });

  test('shows the offending container id as details', () => {
    expect(read({ ...whole, CNI_CONTAINERID: '.x' })).toMatchObject({ code: 4, details: '.x' });
  });

  test.for([
    { name: 'DEL without netns', env: { CNI_COMMAND: 'DEL', CNI_NETNS: '' } },
    {
      name: 'GC with command and path',
      env: { CNI_COMMAND: 'GC', CNI_CONTAINERID: '', CNI_NETNS: '', CNI_IFNAME: '' },
    },
    { name: 'STATUS with command and path', env: { CNI_COMMAND: 'STATUS', CNI_CONTAINERID: '', CNI_IFNAME: '' } },
    { name: 'a name of 15 bytes', env: { CNI_IFNAME: 'abcdefghijklmno' } },
  ])('accepts $name', ({ env }) => {
    expect(read({ ...whole, ...env })).toMatchObject({ path: '/opt/cni/bin' });
  });

  test('accepts VERSION without any other variable', () => {
    expect(read({ CNI_COMMAND: 'VERSION' })).toMatchObject({ command: 'VERSION', path: '' });
  });

  test.for(['1', 'true', 'TRUE'])('treats %s as permission to use the plugin’s own netns', (text) => {
    expect(read({ ...whole, CNI_NETNS_OVERRIDE: text })).toMatchObject({ netnsOverride: true });
  });
});
