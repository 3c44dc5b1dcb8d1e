// Finds the API server and the credentials: from a kubeconfig, the in-cluster service account, or a plain URL. The Kubernetes
// client is used only for this (renewed tokens, exec plugins, proxies), because loading it is the agent's largest cost.

import { existsSync } from 'node:fs';
import { Agent, type RequestOptions } from 'node:https';
import { createSecureContext } from 'node:tls';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { ConfigError, errorText } from '../../../lib/errors.ts';
import type { KubeAccess } from './api.ts';

export interface AccessOptions {
  readonly apiUrl: string | undefined;
  readonly kubeconfigFile: string | undefined;
  /** KUBERNETES_SERVICE_HOST, which every pod has in its environment. */
  readonly serviceHost: string | undefined;
}

const serviceAccountToken = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** Throws ConfigError when no source is given, or when the source cannot be used. */
export function openKubeAccess(options: AccessOptions): KubeAccess {
  const { apiUrl } = options;
  const flagUrl = apiUrl === undefined ? undefined : parseServer('flag', '--kube-api-url', apiUrl);
  const config = new KubeConfig();
  const source = load(config, options);
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new ConfigError('kubeconfig', 'current-context', `names no cluster in ${source}`);
  const url = flagUrl ?? parseServer('kubeconfig', `server in ${source}`, cluster.server);
  const server = apiUrl ?? cluster.server;
  // The client refuses plain HTTP unless TLS verification is off.
  const isPlain = url.protocol === 'http:';
  config.clusters = [{ ...cluster, server, skipTLSVerify: isPlain || cluster.skipTLSVerify }];
  let last: RequestOptions | undefined;
  return {
    async prepare() {
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      if (last === undefined || !sameCertificates(last, options)) shareContext(options);
      else options.agent = last.agent;
      last = options;
      return { server: url, options };
    },
  };
}

function sameCertificates(a: RequestOptions, b: RequestOptions): boolean {
  const texts = ({ ca, cert, key }: RequestOptions): string => [ca, cert, key].map(String).join();
  return texts(a) === texts(b);
}

/**
 * The certificates are read once for all connections of the agent, and a new connection resumes the TLS session of an earlier one.
 * Otherwise TLS would be most of what a short request costs.
 */
function shareContext({ agent }: RequestOptions): void {
  if (agent instanceof Agent) agent.options.secureContext = createSecureContext(agent.options);
}

/** Fills in `config` and returns its source, for messages. */
function load(config: KubeConfig, { apiUrl, kubeconfigFile, serviceHost }: AccessOptions): string {
  if (kubeconfigFile !== undefined) {
    loadFile(config, kubeconfigFile);
    return kubeconfigFile;
  }
  if (apiUrl !== undefined && !(apiUrl.startsWith('https:') && existsSync(serviceAccountToken))) {
    config.loadFromClusterAndUser({ name: 'flag', server: apiUrl, skipTLSVerify: false }, { name: 'nobody' });
    return '--kube-api-url';
  }
  if (apiUrl === undefined && !serviceHost) {
    const expected = 'expected --kubeconfig-file, --kube-api-url, or to run in a pod';
    throw new ConfigError('kube', 'API server', `${expected}; KUBERNETES_SERVICE_HOST is not set, so this is no pod`);
  }
  config.loadFromCluster();
  return 'the pod’s environment';
}

function loadFile(config: KubeConfig, file: string): void {
  try {
    config.loadFromFile(file);
  } catch (error) {
    throw new ConfigError('flag', '--kubeconfig-file', `${file}: ${errorText(error)}`);
  }
}

function parseServer(source: string, key: string, text: string): URL {
  const given = JSON.stringify(text.slice(0, 128));
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return url;
  const meant =
    text.includes('://') || !URL.canParse(`https://${text}`) ? '' : ` (perhaps https://${text.slice(0, 128)} is meant)`;
  throw new ConfigError(source, key, `expected a URL with http:// or https://, got ${given}${meant}`);
}
