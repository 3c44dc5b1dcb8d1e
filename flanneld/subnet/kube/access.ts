// Where the API server is and who we are: kubeconfig, in-cluster service account, or a plain URL. The Kubernetes client
// is used for this alone (renewed tokens, exec plugins, proxies); loading it is the agent's largest cost.

import { existsSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { ConfigError, errorText } from '../../../lib/errors.ts';
import type { KubeAccess } from './api.ts';

export interface AccessOptions {
  readonly apiUrl: string | undefined;
  readonly kubeconfigFile: string | undefined;
}

const serviceAccountToken = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** Throws ConfigError when there is nothing to go by. */
export function openKubeAccess({ apiUrl, kubeconfigFile }: AccessOptions): KubeAccess {
  const config = new KubeConfig();
  if (kubeconfigFile !== undefined) loadFile(config, kubeconfigFile);
  else if (apiUrl === undefined || (apiUrl.startsWith('https:') && existsSync(serviceAccountToken)))
    loadInCluster(config);
  else config.loadFromClusterAndUser({ name: 'flag', server: apiUrl, skipTLSVerify: false }, { name: 'nobody' });
  const cluster = config.getCurrentCluster();
  const server = apiUrl ?? cluster?.server;
  if (cluster === null || server === undefined) {
    throw new ConfigError('kubeconfig', 'current-context', 'names no cluster');
  }
  const url = parseServer(server);
  // The client refuses plain HTTP unless told that nothing is to be verified.
  const isPlain = url.protocol === 'http:';
  config.clusters = [{ ...cluster, server, skipTLSVerify: isPlain || cluster.skipTLSVerify }];
  return {
    async prepare() {
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      return { server: url, options };
    },
  };
}

function loadFile(config: KubeConfig, file: string): void {
  try {
    config.loadFromFile(file);
  } catch (error) {
    throw new ConfigError('flag', '--kubeconfig-file', `${file}: ${errorText(error)}`);
  }
}

/** Without `--kube-api-url` the environment of a pod must name the server. */
function loadInCluster(config: KubeConfig): void {
  config.loadFromCluster();
}

function parseServer(text: string): URL {
  try {
    const url = new URL(text);
    if (url.protocol === 'https:' || url.protocol === 'http:') return url;
  } catch {
    // said below
  }
  const expected = 'expected --kubeconfig-file, --kube-api-url, or to run in a pod (KUBERNETES_SERVICE_HOST)';
  throw new ConfigError('kube', 'API server', `${expected}, got the URL ${JSON.stringify(text.slice(0, 128))}`);
}
