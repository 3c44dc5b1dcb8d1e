import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { makeAuthority, makeCertificate } from '../../../test/support/certificates.ts';
import { httpRequest } from '../http.ts';
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
  test('says which flags to give when there is neither kubeconfig nor service account', () => {
    expect(() => openKubeAccess(nothing)).toThrow(
      'kube: API server: expected --kubeconfig-file, --kube-api-url, or to run in a pod; KUBERNETES_SERVICE_HOST is not set, so this is no pod',
    );
  });

  test.for([
    {
      apiUrl: '10.0.0.1:6443',
      want: 'flag: --kube-api-url: expected a URL with http:// or https://, got "10.0.0.1:6443" (perhaps https://10.0.0.1:6443 is meant)',
    },
    { apiUrl: 'ftp://x', want: 'flag: --kube-api-url: expected a URL with http:// or https://, got "ftp://x"' },
    { apiUrl: '', want: 'flag: --kube-api-url: expected a URL with http:// or https://, got ""' },
  ])('refuses the URL $apiUrl', ({ apiUrl, want }) => {
    expect(() => openKubeAccess({ ...nothing, apiUrl })).toThrow(want);
  });

  test('names a file that is missing, and a file without a cluster', () => {
    expect(() => openKubeAccess({ ...nothing, kubeconfigFile: '/nope' })).toThrow(
      'flag: --kubeconfig-file: /nope: ENOENT',
    );
    const file = kubeconfig('root:x:0:0\n');
    expect(() => openKubeAccess({ ...nothing, kubeconfigFile: file })).toThrow(
      `kubeconfig: current-context: names no cluster in ${file}`,
    );
  });

  test('takes the server from a plain URL', async () => {
    const { server } = await openKubeAccess({ ...nothing, apiUrl: 'http://127.0.0.1:1' }).prepare();
    expect(server.href).toBe('http://127.0.0.1:1/');
  });

  test('resumes the TLS session of an earlier connection until the certificates change', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'access-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const authority = await makeAuthority(folder);
    const [serving, first, second] = await Promise.all(
      ['apiserver', 'first', 'second'].map((name) => makeCertificate(folder, authority, name)),
    );
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    const use = (user: typeof first): void => {
      copyFileSync(user?.certFile ?? '', cert);
      copyFileSync(user?.keyFile ?? '', key);
    };
    const seen: [user: string, isResumed: boolean][] = [];
    const server = createServer({
      ca: readFileSync(authority.certFile),
      cert: readFileSync(serving?.certFile ?? ''),
      key: readFileSync(serving?.keyFile ?? ''),
      requestCert: true,
    });
    onTestFinished(() => void server.close());
    server.on('secureConnection', (socket) => {
      seen.push([String(socket.getPeerCertificate().subject.CN), socket.isSessionReused()]);
    });
    server.on('request', (_, response) => response.end('yes'));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const access = openKubeAccess({
      ...nothing,
      kubeconfigFile: kubeconfig(`current-context: x
contexts: [{ name: x, context: { cluster: x, user: x } }]
clusters: [{ name: x, cluster: { server: 'https://127.0.0.1:${port}', certificate-authority: ${authority.certFile} } }]
users: [{ name: x, user: { client-certificate: ${cert}, client-key: ${key} } }]
`),
    });
    const ask = async (): Promise<void> => {
      const { server: url, options } = await access.prepare();
      const signal = new AbortController().signal;
      await httpRequest({ method: 'GET', url, options, timeoutMs: 10_000, signal });
    };
    use(first);
    await ask();
    await ask();
    use(second);
    await ask();
    await ask();
    expect(seen).toEqual([
      ['first', false],
      ['first', true],
      ['second', false],
      ['second', true],
    ]);
  });
});
