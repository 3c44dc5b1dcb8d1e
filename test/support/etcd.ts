// A real etcd for one test, with one or three members on loopback. Its data is in memory, its elections are short, and it can use
// TLS.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TlsFiles } from '../../flanneld/subnet/etcd/tls-files.ts';
import { readTlsFiles } from '../../flanneld/subnet/etcd/tls-files.ts';
import { httpRequest } from '../../flanneld/subnet/http.ts';
import { Background, findServer, freePorts } from './background.ts';
import { makeAuthority, makeCertificate } from './certificates.ts';

export interface EtcdMember {
  readonly url: URL;
  /** Kills the process. Its data stays. */
  kill(): Promise<void>;
  /** Starts the process again and waits until it serves, which needs a quorum. */
  start(wait?: boolean): Promise<void>;
  pause(): void;
  resume(): void;
}

export interface EtcdCluster {
  readonly members: readonly EtcdMember[];
  readonly endpoints: readonly URL[];
  readonly tls: TlsFiles;
  stop(): Promise<void>;
}

export interface EtcdSpec {
  readonly members: 1 | 3;
  readonly tls?: boolean;
}

const noTls: TlsFiles = { caFile: undefined, certFile: undefined, keyFile: undefined };

export async function startEtcd({ members: count, tls = false }: EtcdSpec): Promise<EtcdCluster> {
  const program = findServer('etcd');
  if (program === undefined) throw new Error('no etcd in KUBEBUILDER_ASSETS or on PATH: run npm run setup');
  const dir = mkdtempSync(join(tmpdir(), 'weft-etcd-'));
  const security = tls ? await makeSecurity(dir) : { flags: [], client: noTls };
  const scheme = tls ? 'https' : 'http';
  const ports = await freePorts(count * 2);
  const sites = Array.from({ length: count }, (_, at) => ({
    name: `m${at}`,
    client: `${scheme}://127.0.0.1:${ports[2 * at]}`,
    peer: `${scheme}://127.0.0.1:${ports[2 * at + 1]}`,
  }));
  const initial = sites.map(({ name, peer }) => `${name}=${peer}`).join(',');
  const members = sites.map(({ name, client, peer }) => {
    const argv: [string, ...string[]] = [program, '--name', name, '--data-dir', join(dir, name)];
    argv.push('--listen-client-urls', client, '--advertise-client-urls', client);
    argv.push('--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', initial);
    argv.push('--heartbeat-interval', '50', '--election-timeout', '500', '--logger', 'zap', '--log-level', 'error');
    return member([...argv, ...security.flags], new URL(client), security.client);
  });
  const stop = async (): Promise<void> => {
    await Promise.all(members.map((each) => each.kill()));
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await Promise.all(members.map((each) => each.start()));
  } catch (error) {
    await stop();
    throw error;
  }
  return { members, endpoints: members.map(({ url }) => url), tls: security.client, stop };
}

async function makeSecurity(dir: string): Promise<{ flags: string[]; client: TlsFiles }> {
  const authority = await makeAuthority(dir);
  const server = await makeCertificate(dir, authority, 'member');
  const client = await makeCertificate(dir, authority, 'client');
  const own = ['--cert-file', server.certFile, '--key-file', server.keyFile, '--trusted-ca-file', authority.certFile];
  const peer = ['--peer-cert-file', server.certFile, '--peer-key-file', server.keyFile];
  const peerAuthority = ['--peer-trusted-ca-file', authority.certFile];
  const flags = [...own, '--client-cert-auth', ...peer, ...peerAuthority, '--peer-client-cert-auth'];
  return { flags, client: { ...client, caFile: authority.certFile } };
}

function member(argv: [string, ...string[]], url: URL, tls: TlsFiles): EtcdMember {
  let process: Background | undefined;
  return {
    url,
    kill: async () => await process?.stop(),
    async start(wait = true) {
      process = new Background(argv);
      if (wait) await process.ready(async () => await isHealthy(url, tls), 30_000);
    },
    pause: () => process?.signal('SIGSTOP'),
    resume: () => process?.signal('SIGCONT'),
  };
}

async function isHealthy(url: URL, tls: TlsFiles): Promise<boolean> {
  const call = { method: 'GET' as const, url: new URL('/health', url), timeoutMs: 1000 };
  const options = await readTlsFiles(tls);
  const { body } = await httpRequest({ ...call, options, signal: new AbortController().signal });
  return /"health":\s*"true"/.test(body);
}
