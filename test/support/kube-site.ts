// Sites of the store contract on any Kubernetes API server. Each site has Nodes with names of its own, and annotations with a
// prefix of its own.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { httpRequest } from '../../flanneld/subnet/http.ts';
import { ownAnnotations } from '../../flanneld/subnet/kube/annotations.ts';
import type { KubeAccess } from '../../flanneld/subnet/kube/api.ts';
import type { KubeManagerOptions } from '../../flanneld/subnet/kube/kube.ts';
import { createKubeManager, kubeDefaults } from '../../flanneld/subnet/kube/kube.ts';
import { asObject } from '../../flanneld/subnet/kube/node.ts';
import type { SubnetManager } from '../../flanneld/subnet/manager.ts';
import { recordingLog } from './recording-log.ts';
import type { ContractSite } from './store-contract.ts';
import { never } from './store-contract.ts';

export interface KubeSite extends ContractSite {
  readonly logged: readonly string[];
  /** Returns the name that the Node has in this site. */
  nodeName(node: string): string;
  /** The annotation prefix, which ends in `/`. */
  readonly prefix: string;
  manager(node: string, change?: Partial<KubeManagerOptions>): Promise<SubnetManager>;
  createNode(node: string, podCidrs: readonly string[]): Promise<void>;
  /** A value of null removes the annotation. */
  annotate(node: string, annotations: Readonly<Record<string, string | null>>): Promise<void>;
  annotations(node: string): Promise<Readonly<Record<string, unknown>>>;
  get(node: string): Promise<unknown>;
  deleteNode(node: string): Promise<void>;
}

type NodeCall = (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: object) => Promise<unknown>;

function nodeCalls(access: KubeAccess): NodeCall {
  return async (method, path, body) => {
    const { server, options } = await access.prepare();
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    const content = body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': type } };
    const url = new URL(`/api/v1/nodes${path}`, server);
    const answer = await httpRequest({ method, url, options, ...content, timeoutMs: 10_000, signal: never });
    if (answer.status > 299) throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
    return JSON.parse(answer.body);
  };
}

let sites = 0;

export interface KubeSiteOptions {
  /** How the managers reach the server. When absent, they use the same access as the site. */
  readonly agentAccess?: KubeAccess;
  /** Is appended to the annotation prefix, such as `/9`. */
  readonly prefixPath?: string;
}

/**
 * Makes sites on one server. Nodes made by `manager` get podCIDRs from the networks in `netConf`, one after the other. `access`
 * must be allowed to write Nodes.
 */
export function makeKubeSite(access: KubeAccess, netConf: object, options: KubeSiteOptions = {}): KubeSite {
  const { agentAccess = access, prefixPath = '' } = options;
  const id = `s${process.pid}-${sites++}`;
  const annotationPrefix = `${id}.weft.test${prefixPath}`;
  const prefix = prefixPath === '' ? `${annotationPrefix}/` : `${annotationPrefix}-`;
  const dir = mkdtempSync(join(tmpdir(), 'weft-kube-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const netConfigPath = join(dir, 'net-conf.json');
  writeFileSync(netConfigPath, JSON.stringify(netConf));
  const { log, logged } = recordingLog();
  const made = new Set<string>();
  const nodeName = (node: string): string => `${node}-${id}`;

  const call = nodeCalls(access);
  const createNode = async (node: string, podCidrs: readonly string[]): Promise<void> => {
    if (made.has(node)) return;
    made.add(node);
    const [podCIDR] = podCidrs;
    const spec = podCIDR === undefined ? {} : { podCIDR, podCIDRs: podCidrs };
    await call('POST', '', { metadata: { name: nodeName(node), annotations: {} }, spec });
  };
  const annotate: KubeSite['annotate'] = async (node, annotations) => {
    const all = Object.fromEntries(Object.entries(annotations).map(([key, value]) => [prefix + key, value]));
    await call('PATCH', `/${nodeName(node)}`, { metadata: { annotations: all } });
  };
  const get = (node: string): Promise<unknown> => call('GET', `/${nodeName(node)}`);

  return {
    logged,
    nodeName,
    prefix,
    createNode,
    annotate,
    get,
    async annotations(node) {
      const metadata = asObject(asObject(await get(node))?.['metadata']);
      const all = Object.entries(asObject(metadata?.['annotations']) ?? {});
      return Object.fromEntries(all.map(([key, value]) => [key.replace(prefix, ''), value]));
    },
    async deleteNode(node) {
      made.delete(node);
      await call('DELETE', `/${nodeName(node)}`);
    },
    async manager(node, change) {
      await createNode(node, nextPodCidrs(netConf, made.size + 1));
      const identity = { nodeName: nodeName(node), podName: undefined, podNamespace: undefined };
      const settings = { annotationPrefix, setNetworkUnavailable: true, netConfigPath };
      const clock = { random: Math.random, now: () => new Date() };
      return createKubeManager({
        access: agentAccess,
        identity,
        ...settings,
        log,
        ...clock,
        ...kubeDefaults,
        ...change,
      });
    },
    keyOf: (node) => nodeName(node),
    async putPeer(node, subnets, attributes) {
      await createNode(node, subnets.split(' '));
      await annotate(node, Object.fromEntries(ownAnnotations(attributes)));
    },
    async spoil(node) {
      await annotate(node, { 'public-ip': '10.0.0.1; rm -rf /' });
    },
    async remove(node) {
      const names = [...ownAnnotations({ backendType: '' }).keys(), 'public-ip', 'backend-data'];
      await annotate(node, Object.fromEntries(names.map((name) => [name, null])));
    },
  };
}

function nextPodCidrs(netConf: object, index: number): string[] {
  const conf: Readonly<Record<string, unknown>> = { ...netConf };
  const ipv4 = conf['EnableIPv4'] === false ? [] : [`10.244.${index}.0/24`];
  return conf['EnableIPv6'] === true ? [...ipv4, `fd00:10:244:${index.toString(16)}::/64`] : ipv4;
}
