// A real kube-apiserver with its etcd, started as envtest starts them. There is no kube-controller-manager and no kubelet, so a
// test does itself what they would do.

import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { httpRequest } from '../../flanneld/subnet/http.ts';
import { openKubeAccess } from '../../flanneld/subnet/kube/access.ts';
import type { KubeAccess } from '../../flanneld/subnet/kube/api.ts';
import { Background, findServer, freePorts } from './background.ts';
import type { CertificateFiles } from './certificates.ts';
import { makeAuthority, makeCertificate } from './certificates.ts';
import { startEtcd } from './etcd.ts';
import { startRelay, startRelayInto } from './netns-relay.ts';

export interface ApiCall {
  /** With a body the request is a POST, without one a GET, unless this says otherwise. */
  readonly method?: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  readonly contentType?: string;
  /** The user to act as. */
  readonly as?: string;
}

export interface ApiAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface KubeApiserver {
  readonly url: URL;
  /** Sends a request as the administrator. Resolves whatever the answer is. */
  call(call: ApiCall): Promise<ApiAnswer>;
  /** Like `ask`, but rejects unless the request succeeded. */
  must(call: ApiCall): Promise<ApiAnswer>;
  /** A user who may do everything. */
  readonly admin: KubeAccess;
  /** A user who may do what the agent's ClusterRole allows. */
  readonly agent: KubeAccess;
  /** The user to whom this token belongs. */
  withToken(token: string): KubeAccess;
  /** The path of `agent`'s kubeconfig. */
  readonly agentKubeconfig: string;
  readonly agentKubeconfigText: string;
  readonly adminKubeconfig: string;
  /** The path of the certificate that signed the server's certificate. */
  readonly authorityFile: string;
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** The programs that are looked for, in the words of test/README.md. */
export const apiserverNeeded = 'kube-apiserver and etcd (in KUBEBUILDER_ASSETS, then on PATH)';

export function hasKubeApiserver(): boolean {
  return findServer('kube-apiserver') !== undefined && findServer('etcd') !== undefined;
}

/** The fewest rights with which the agent works. The ClusterRole of the manifests must have the same. */
const agentRules = [
  { apiGroups: [''], resources: ['pods'], verbs: ['get'] },
  { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'watch'] },
  { apiGroups: [''], resources: ['nodes/status'], verbs: ['patch'] },
  { apiGroups: [''], resources: ['events'], verbs: ['create'] },
];

/** Says what is missing; undefined when everything is there. */
export function missingApiserver(): string | undefined {
  return hasKubeApiserver() ? undefined : apiserverNeeded;
}

export interface ApiserverOptions {
  /** Names of nodes that the server finds on this machine's loopback, where a test relays to their kubelets. */
  readonly nodesOnLoopback?: readonly string[];
  /** The node on whose network the server runs, so that it reaches nodes and pods, and they reach it. Here it is on loopback as well. */
  readonly node?: ServerNode;
  /** The addresses of Services; with two families, `IPV4,IPV6`. */
  readonly serviceRange?: string;
}

interface ServerNode {
  /** A process in the node's network namespace. */
  readonly pid: number;
  readonly address: string;
}

export async function startKubeApiserver(options: ApiserverOptions = {}): Promise<KubeApiserver> {
  const { node } = options;
  const program = findServer('kube-apiserver');
  if (program === undefined) throw new Error(`needs ${apiserverNeeded}`);
  const etcd = await startEtcd({ members: 1 });
  const dir = mkdtempSync(join(tmpdir(), 'weft-apiserver-'));
  const relays: (() => Promise<void>)[] = [];
  let process: Background | undefined;
  const stop = async (): Promise<void> => {
    await process?.stop();
    for (const stopRelay of relays.splice(0)) await stopRelay();
    await etcd.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    const [port = 0] = await freePorts(1);
    const url = new URL(`https://127.0.0.1:${port}`);
    if (node !== undefined) await openWays(relays, node, port, etcd.endpoints);
    const authority = await makeAuthority(dir);
    const admin = await makeCertificate(dir, authority, 'admin', { group: 'system:masters' });
    const agent = await makeCertificate(dir, authority, 'weft');
    const serving = await makeCertificate(dir, authority, 'apiserver', { addresses: node ? [node.address] : [] });
    const argv = [program, ...flags({ dir, port, authority, serving }), `--etcd-servers=${etcd.endpoints.join()}`];
    const command = inPlace(dir, options, argv);
    const [adminKubeconfig, agentKubeconfig] = [admin, agent].map((user, at) => {
      const credentials = { 'client-certificate': user.certFile, 'client-key': user.keyFile };
      return writeKubeconfig(join(dir, `kubeconfig-${at}`), url, authority, credentials);
    });
    const adminAccess = openKubeAccess({ apiUrl: undefined, serviceHost: undefined, kubeconfigFile: adminKubeconfig });
    const start = async (): Promise<void> => {
      process = new Background(command);
      await process.ready(async () => (await ask(adminAccess, { path: '/readyz' })).status === 200, 120_000);
    };
    const must = (each: ApiCall): Promise<ApiAnswer> => mustAsk(adminAccess, each);
    await start();
    await grant(must);
    return {
      url,
      call: (each) => ask(adminAccess, each),
      must,
      withToken: (token) => {
        const kubeconfigFile = writeKubeconfig(join(dir, 'kubeconfig-token'), url, authority, { token });
        return openKubeAccess({ apiUrl: undefined, serviceHost: undefined, kubeconfigFile });
      },
      admin: adminAccess,
      agent: openKubeAccess({ apiUrl: undefined, serviceHost: undefined, kubeconfigFile: agentKubeconfig }),
      agentKubeconfig: agentKubeconfig ?? '',
      agentKubeconfigText: readFileSync(agentKubeconfig ?? '', 'utf8'),
      adminKubeconfig: adminKubeconfig ?? '',
      authorityFile: authority.certFile,
      start,
      kill: async () => await process?.stop(),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The command at the place where the server is to run, with the address that it gives the cluster. */
function inPlace(
  dir: string,
  { node, nodesOnLoopback = [], serviceRange = '10.96.0.0/24' }: ApiserverOptions,
  command: readonly string[],
): [string, ...string[]] {
  const argv = [...command, `--service-cluster-ip-range=${serviceRange}`];
  if (node === undefined) {
    argv.push('--bind-address=127.0.0.1', '--advertise-address=127.0.0.1');
    return withHosts(dir, nodesOnLoopback, argv);
  }
  argv.push('--bind-address=0.0.0.0', `--advertise-address=${node.address}`);
  argv.push('--kubelet-preferred-address-types=InternalIP');
  return ['nsenter', '-t', String(node.pid), '-n', '--', ...argv];
}

/** The command with /etc/hosts of its own, in which the names are 127.0.0.1. */
function withHosts(dir: string, names: readonly string[], argv: readonly string[]): [string, ...string[]] {
  const hosts = join(dir, 'hosts');
  writeFileSync(hosts, `127.0.0.1 localhost ${names.join(' ')}\n`);
  return ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /etc/hosts && exec "$@"', hosts, ...argv];
}

/** The way from the node to etcd, and from here to the server. */
async function openWays(
  relays: (() => Promise<void>)[],
  { pid }: ServerNode,
  port: number,
  endpoints: readonly URL[],
): Promise<void> {
  for (const endpoint of endpoints) relays.push(await startRelay(pid, endpoint));
  relays.push(await startRelayInto(pid, port));
}

interface ServerFiles {
  readonly dir: string;
  readonly port: number;
  readonly authority: CertificateFiles;
  readonly serving: CertificateFiles;
}

function flags({ dir, port, authority, serving }: ServerFiles): string[] {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const [key, pub] = [join(dir, 'sa.key'), join(dir, 'sa.pub')];
  writeFileSync(key, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(pub, publicKey.export({ type: 'spki', format: 'pem' }));
  return [
    `--secure-port=${port}`,
    '--authorization-mode=RBAC',
    `--client-ca-file=${authority.certFile}`,
    `--tls-cert-file=${serving.certFile}`,
    `--tls-private-key-file=${serving.keyFile}`,
    '--service-account-issuer=https://localhost',
    `--service-account-key-file=${pub}`,
    `--service-account-signing-key-file=${key}`,
    // A shorter history than the usual five minutes, so that a test can get the answer "too old".
    '--etcd-compaction-interval=0',
  ];
}

function writeKubeconfig(file: string, url: URL, authority: CertificateFiles, user: object): string {
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server: url.origin, 'certificate-authority': authority.certFile } }],
    users: [{ name: 'me', user }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'me' } }],
    'current-context': 'test',
  };
  writeFileSync(file, stringify(config));
  return file;
}

/** Sends a request as the user of `access`. */
export async function ask(access: KubeAccess, { method, path, body, contentType, as }: ApiCall): Promise<ApiAnswer> {
  const { server, options } = await access.prepare();
  const headers = { 'content-type': contentType ?? 'application/json', ...(as && { 'impersonate-user': as }) };
  const answer = await httpRequest({
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    url: new URL(path, server),
    options,
    headers,
    ...(body !== undefined && { body: JSON.stringify(body) }),
    timeoutMs: 30_000,
    signal: new AbortController().signal,
  });
  return { status: answer.status, body: answer.body.startsWith('{') ? JSON.parse(answer.body) : {} };
}

async function mustAsk(access: KubeAccess, call: ApiCall): Promise<ApiAnswer> {
  const answer = await ask(access, call);
  if (answer.status > 299) throw new Error(`${call.path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer;
}

async function grant(must: KubeApiserver['must']): Promise<void> {
  const path = '/apis/rbac.authorization.k8s.io/v1';
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'weft-test' };
  const subjects = [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'weft' }];
  const metadata = { name: 'weft-test' };
  await must({ path: `${path}/clusterroles`, body: { metadata, rules: agentRules } });
  await must({ path: `${path}/clusterrolebindings`, body: { metadata, roleRef, subjects } });
}
