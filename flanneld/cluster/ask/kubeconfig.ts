// Finds the API server and the credentials like kubectl: --kubeconfig, else the files in KUBECONFIG, else ~/.kube/config, else the pod's
// service account; in the file the context of --context, else the current one. The Kubernetes client reads the files and deals with tokens
// (exec plugins, OIDC) and proxies.

import type { RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { ConfigError, errorText } from '../../../lib/errors.ts';
import type { KubeAccess } from '../../subnet/kube/api.ts';

export interface KubeconfigOptions {
  readonly kubeconfigFile?: string | undefined;
  readonly context?: string | undefined;
}

/** Throws ConfigError when there is no usable configuration. */
export function openKubeconfig({ kubeconfigFile, context }: KubeconfigOptions): KubeAccess {
  const config = load(kubeconfigFile);
  if (context !== undefined) config.setCurrentContext(context);
  const current = config.getCurrentContext() ?? '';
  const known = config.getContexts().map(({ name }) => name);
  if (!known.includes(current)) {
    const key = context === undefined ? 'current-context' : '--context';
    throw new ConfigError('kubeconfig', key, `expected one of ${known.join(', ') || 'none'}, got ${show(current)}`);
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null)
    throw new ConfigError('kubeconfig', `context ${current}`, 'names a cluster that the file does not have');
  if (config.getCurrentUser() === null)
    throw new ConfigError('kubeconfig', `context ${current}`, 'names a user that the file does not have');
  const server = parseServer(cluster.server);
  // The client refuses plain HTTP unless TLS verification is off.
  const isPlain = server.protocol === 'http:';
  config.clusters = config.clusters.map((each) =>
    each.name === cluster.name ? { ...each, skipTLSVerify: isPlain || each.skipTLSVerify } : each,
  );
  return {
    async prepare() {
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      return { server, options };
    },
  };
}

function load(file: string | undefined): KubeConfig {
  const config = new KubeConfig();
  try {
    if (file === undefined) config.loadFromDefault();
    else config.loadFromFile(file);
  } catch (error) {
    const key = file === undefined ? 'KUBECONFIG' : `--kubeconfig ${file}`;
    throw new ConfigError('kubeconfig', key, errorText(error).split('\n')[0] ?? '');
  }
  return config;
}

function parseServer(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return url;
  throw new ConfigError('kubeconfig', 'server', `expected a URL with http:// or https://, got ${show(text)}`);
}

function show(text: string): string {
  return JSON.stringify(text.slice(0, 128));
}
