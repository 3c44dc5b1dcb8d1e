import { describe, expect, onTestFinished, test } from 'vitest';
import { type Check, healthPages, serveHttp } from './http-server.ts';

async function start(
  checks: () => readonly Check[],
): Promise<(path: string, method?: string) => Promise<[number, string]>> {
  const server = await serveHttp({ address: '127.0.0.1', port: 0 }, healthPages(checks));
  onTestFinished(() => server.close());
  return async (path, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
    return [response.status, await response.text()];
  };
}

const device: Check = { name: 'device flannel.1', required: true };
const peer: Check = { name: 'peer 10.244.9.0-24.json', problem: 'has no VtepMAC', required: false };

describe('serveHttp', () => {
  test('answers that the process runs, whatever the checks say', async () => {
    const get = await start(() => [{ ...device, problem: 'missing' }]);
    expect(await get('/healthz')).toEqual([200, 'flanneld is running\n']);
  });

  test('is not ready while a required check has a problem, and names it', async () => {
    let problem: string | undefined = 'not there yet';
    const get = await start(() => [{ ...device, problem }]);
    expect(await get('/readyz')).toEqual([503, '[-] device flannel.1: not there yet\nflanneld is not ready yet\n']);
    problem = undefined;
    expect(await get('/readyz')).toEqual([200, 'flanneld is ready\n']);
  });

  test('stays ready when a peer fails, and names the peer in the verbose answer', async () => {
    const get = await start(() => [device, peer]);
    expect(await get('/readyz')).toEqual([200, 'flanneld is ready\n']);
    const lines = '[+] device flannel.1: ok\n[!] peer 10.244.9.0-24.json: has no VtepMAC\nflanneld is ready\n';
    expect(await get('/readyz?verbose')).toEqual([200, lines]);
  });

  test.for([
    { name: 'another path', path: '/metricz', method: 'GET', want: 404 },
    { name: 'another method', path: '/readyz', method: 'POST', want: 405 },
  ])('answers $name with $want', async ({ path, method, want }) => {
    const get = await start(() => []);
    expect((await get(path, method))[0]).toBe(want);
  });

  test('names the address that is in use', async () => {
    const server = await serveHttp({ address: '127.0.0.1', port: 0 }, new Map());
    onTestFinished(() => server.close());
    const second = serveHttp({ address: '127.0.0.1', port: server.port }, new Map());
    await expect(second).rejects.toThrow(`health: listen on 127.0.0.1:${server.port}: EADDRINUSE`);
  });
});
