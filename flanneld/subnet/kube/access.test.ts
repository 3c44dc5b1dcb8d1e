import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openKubeAccess } from './access.ts';

const nothing = { apiUrl: undefined, kubeconfigFile: undefined, serviceHost: undefined };

function kubeconfig(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'access-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'kubeconfig');
  writeFileSync(file, text);
  return file;
}

describe('openKubeAccess', () => {
  test('says what to give when there is nothing to go by', () => {
    expect(() => openKubeAccess(nothing)).toThrow(
      'kube: API server: expected --kubeconfig-file, --kube-api-url, or to run in a pod; KUBERNETES_SERVICE_HOST is not set, so this is none',
    );
  });

  test.for([
    {
      apiUrl: '10.0.0.1:6443',
      want: 'flag: --kube-api-url: expected a URL with http:// or https://, got "10.0.0.1:6443" (is https://10.0.0.1:6443 meant?)',
    },
    { apiUrl: 'ftp://x', want: 'flag: --kube-api-url: expected a URL with http:// or https://, got "ftp://x"' },
    { apiUrl: '', want: 'flag: --kube-api-url: expected a URL with http:// or https://, got ""' },
  ])('refuses the URL $apiUrl', ({ apiUrl, want }) => {
    expect(() => openKubeAccess({ ...nothing, apiUrl })).toThrow(want);
  });

  test('names the file that is missing, and the one that names no cluster', () => {
    expect(() => openKubeAccess({ ...nothing, kubeconfigFile: '/nope' })).toThrow(
      'flag: --kubeconfig-file: /nope: ENOENT',
    );
    const file = kubeconfig('root:x:0:0\n');
    expect(() => openKubeAccess({ ...nothing, kubeconfigFile: file })).toThrow(
      `kubeconfig: current-context: names no cluster in ${file}`,
    );
  });

  test('takes the server of a plain URL', async () => {
    const { server } = await openKubeAccess({ ...nothing, apiUrl: 'http://127.0.0.1:1' }).prepare();
    expect(server.href).toBe('http://127.0.0.1:1/');
  });
});
