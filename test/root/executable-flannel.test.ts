// How the real CNI executable ends when files or descriptors it needs fail. executable-endings.test.ts tests the host's part of this.

import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compileProgram, type Executable } from '../support/executable.ts';
import { slowed } from '../support/slowness.ts';

const DEADLINE_MS = slowed(1000);
const version = { CNI_COMMAND: 'VERSION' };
const add = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/no/such/netns',
  CNI_IFNAME: 'eth0',
  CNI_PATH: '/no/such/folder',
};
const configuration = '{"cniVersion":"1.0.0","name":"cbr0","type":"flannel","subnetFile":"/no/such/subnet.env"}';

let flannel: Executable;
beforeAll(async () => {
  flannel = await compileProgram(resolve(import.meta.dirname, '../../cni-plugin/main.ts'));
}, slowed(120_000));
afterAll(() => flannel?.remove());

function run(env: Readonly<Record<string, string>>, input: string | Buffer) {
  return spawnSync(flannel.path, { env, input, encoding: 'utf8', timeout: DEADLINE_MS });
}

describe('an ADD', () => {
  test.for([
    { name: 'with 5 MB on stdin', input: Buffer.alloc(5_000_000, 0x20) },
    { name: 'with a configuration of 3 MB that is one string', input: `{"cniVersion":"${'x'.repeat(3_000_000)}"}` },
    { name: 'with 200,000 levels', input: `${'['.repeat(200_000)}${']'.repeat(200_000)}` },
    { name: 'with bytes that are not UTF-8', input: Buffer.from([0x7b, 0xff, 0x7d]) },
    { name: 'with nothing on stdin', input: '' },
    { name: 'into a netns that is not there', input: configuration },
  ])('$name is answered with an error object within a second', ({ input }) => {
    const { status, stdout } = run(add, input);
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ code: expect.any(Number), msg: expect.stringMatching(/./) });
  });
});

describe('the build’s version', () => {
  const build = (): string => `0\\.1\\.0\\+${flannel.record.id}`;

  test('is printed for a person who asks with --version, whatever variables are set', () => {
    const { status, stdout, stderr } = spawnSync(flannel.path, ['--version'], { env: add, encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(
      new RegExp(`^CNI flannel plugin \\(weft\\) ${build()}\nCNI protocol versions supported: 0\\.1\\.0, `),
    );
  });

  test('is appended to the details of every error', () => {
    const { details } = JSON.parse(run(add, configuration).stdout) as { details: string };
    expect(details).toMatch(new RegExp(`; weft ${build()}$`));
  });

  test('a configuration on stdin is not treated as an option, since a runtime passes none', () => {
    expect(run(add, '--version').status).toBe(1);
  });
});

describe('stdout', () => {
  test.for([
    { name: 'closed', redirection: '>&-' },
    { name: 'full', redirection: '>/dev/full' },
  ])('that is $name makes the status 1, for a success and for an error', ({ redirection }) => {
    for (const env of [version, add]) {
      const args = ['-c', `exec "$0" ${redirection}`, flannel.path];
      expect(spawnSync('/bin/sh', args, { env, input: configuration, timeout: DEADLINE_MS }).status).toBe(1);
    }
  });

  test('that works makes the status of VERSION 0', () => {
    expect(run(version, '')).toMatchObject({ status: 0, stdout: expect.stringContaining('supportedVersions') });
  });
});
