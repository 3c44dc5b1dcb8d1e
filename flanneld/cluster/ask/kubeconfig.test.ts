import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { stringify } from 'yaml';
import { openKubeconfig } from './kubeconfig.ts';

function write(change: object = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'weft-kubeconfig-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'config');
  const config = {
    clusters: [
      { name: 'one', cluster: { server: 'https://one.example:6443' } },
      { name: 'two', cluster: { server: 'https://two.example:6443' } },
      { name: 'odd', cluster: { server: 'two.example' } },
    ],
    users: [{ name: 'me', user: { token: 'secret' } }],
    contexts: [
      { name: 'a', context: { cluster: 'one', user: 'me' } },
      { name: 'b', context: { cluster: 'two', user: 'me' } },
      { name: 'no-cluster', context: { cluster: 'three', user: 'me' } },
      { name: 'no-user', context: { cluster: 'one', user: 'you' } },
      { name: 'odd', context: { cluster: 'odd', user: 'me' } },
    ],
    'current-context': 'a',
    ...change,
  };
  writeFileSync(file, stringify(config));
  return file;
}

describe('openKubeconfig', () => {
  test('uses the current context, or the named one, with its credentials', async () => {
    const kubeconfigFile = write();
    const current = await openKubeconfig({ kubeconfigFile }).prepare();
    expect(current.server.href).toBe('https://one.example:6443/');
    expect(current.options.headers).toEqual({ Authorization: 'Bearer secret' });
    const named = await openKubeconfig({ kubeconfigFile, context: 'b' }).prepare();
    expect(named.server.href).toBe('https://two.example:6443/');
  });

  test.for([
    { name: 'a context that is not there', context: 'c', want: '--context: expected one of a, b, no-cluster' },
    { name: 'a cluster that is not there', context: 'no-cluster', want: 'context no-cluster: names a cluster' },
    { name: 'a user that is not there', context: 'no-user', want: 'context no-user: names a user' },
    { name: 'a server that is no URL', context: 'odd', want: 'server: expected a URL with http:// or https://, got' },
  ])('refuses $name', ({ context, want }) => {
    expect(() => openKubeconfig({ kubeconfigFile: write(), context })).toThrow(want);
  });

  test('refuses a file that is not there, and one without a current context', () => {
    expect(() => openKubeconfig({ kubeconfigFile: '/nowhere' })).toThrow('kubeconfig: --kubeconfig /nowhere: ENOENT');
    expect(() => openKubeconfig({ kubeconfigFile: write({ 'current-context': '' }) })).toThrow(
      'current-context: expected',
    );
  });
});
