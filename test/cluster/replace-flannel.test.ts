// kubectl, a real API server, flannel's objects: applying ours leaves nothing of flannel's in the DaemonSet, and applying
// flannel's again nothing of ours. What runs on nodes is not here: there is no kubelet.

import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import {
  asKubeObjects,
  type Json,
  type KubeObject,
  manifests,
  only,
  parseYaml,
  podSpec,
} from '../manifests/documents.ts';
import { findProgram } from '../manifests/find-program.ts';
import { type KubeApiserver, missingApiserver, startKubeApiserver } from '../support/kube-apiserver.ts';
import { needs } from '../support/needs.ts';

const START_MS = 180_000;
const kubectl = findProgram('kubectl');
let server: KubeApiserver | undefined;

beforeAll(async () => {
  if (missingApiserver() === undefined && kubectl !== undefined) server = await startKubeApiserver();
}, START_MS);
afterAll(async () => await server?.stop());
beforeEach(() => {
  needs.machine(missingApiserver() === undefined, missingApiserver() ?? '');
  needs.machine(kubectl !== undefined, 'kubectl on PATH');
});

function run(args: readonly string[], input = ''): string {
  const all = [`--kubeconfig=${server?.adminKubeconfig ?? ''}`, ...args];
  return execFileSync(kubectl ?? 'kubectl', all, { encoding: 'utf8', input, stdio: ['pipe', 'pipe', 'pipe'] });
}

function inCluster(kind: string, name: string): Json {
  return JSON.parse(run(['get', kind, name, '--namespace=kube-flannel', '--output=json'])) as Json;
}

function overlay(name: string): string {
  return `${manifests}/kustomize/overlays/${name}`;
}

describe('kubectl apply --dry-run=server takes', () => {
  test.for(['weft.yml', 'cleanup.yml'])('%s', (file) => {
    run(['apply', '--filename=-'], stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'weft' } }));
    expect(run(['apply', '--dry-run=server', `--filename=${manifests}/${file}`])).toContain('(server dry run)');
  });

  test('the dual-stack overlay', () => {
    expect(run(['apply', '--dry-run=server', `--kustomize=${overlay('dual-stack')}`])).toContain('(server dry run)');
  });
});

describe.for([
  { name: 'replace-flannel-release', selector: { app: 'flannel', 'k8s-app': 'flannel' } },
  { name: 'replace-flannel', selector: { app: 'flannel' } },
])('$name, applied over a flannel with that selector', ({ name, selector }) => {
  const flannel = (): string =>
    flannelObjects(selector)
      .map((object) => stringify(object))
      .join('---\n');
  let before: KubeObject;
  let replaced: KubeObject;

  beforeAll(() => {
    if (server === undefined) return;
    run(['delete', 'daemonset,configmap', '--all', '--namespace=kube-flannel', '--wait=false']);
    run(['apply', '--filename=-'], flannel());
    before = inCluster('daemonset', 'kube-flannel-ds') as unknown as KubeObject;
    run(['apply', `--kustomize=${overlay(name)}`]);
    replaced = inCluster('daemonset', 'kube-flannel-ds') as unknown as KubeObject;
  });

  test('nothing of flannel’s is left in the DaemonSet', () => {
    const ours = podSpec(asKubeObjects(parseYaml(run(['kustomize', overlay(name)]), name)));
    const spec = podSpec([replaced]);
    expect(spec.initContainers).toBeUndefined();
    expect(spec.volumes.map((volume) => volume.name).sort()).toEqual(ours.volumes.map((volume) => volume.name).sort());
    // What we ask for is there, with the server's defaults; and lists hold nothing more.
    expect(spec.containers).toMatchObject(ours.containers);
    expect(spec.containers[0]?.securityContext).toEqual(ours.containers[0]?.securityContext);
  });

  test('it is the same DaemonSet, and flannel’s configuration is untouched', () => {
    const { metadata, spec } = replaced as unknown as { metadata: { uid: string }; spec: KubeObject['spec'] };
    expect(metadata.uid).toBe((before.metadata as unknown as { uid: string }).uid);
    expect(spec?.selector.matchLabels).toEqual(selector);
    const config = inCluster('configmap', 'kube-flannel-cfg') as unknown as KubeObject;
    expect(config.data).toEqual(only(flannelObjects(selector), 'ConfigMap').data);
  });

  test('flannel’s manifest applied again brings flannel back, and nothing of ours stays', () => {
    run(['apply', '--filename=-'], flannel());
    const back = inCluster('daemonset', 'kube-flannel-ds') as unknown as KubeObject;
    expect(podSpec([back])).toEqual(podSpec([before]));
    expect(back.spec?.template.metadata).toEqual(before.spec?.template.metadata);
  });
});

/** flannel's manifest as it is released: its names, labels, init containers, mounts and rights. */
function flannelObjects(selector: Record<string, string>): KubeObject[] {
  const namespace = 'kube-flannel';
  const labels = { tier: 'node', app: 'flannel', 'k8s-app': 'flannel' };
  const name = 'kube-flannel-ds';
  const spec = { selector: { matchLabels: selector }, template: { metadata: { labels }, spec: flannelPod() } };
  const objects = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels: { 'k8s-app': 'flannel' } } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'flannel', namespace } },
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'kube-flannel-cfg', namespace, labels },
      data: { 'cni-conf.json': '{"name":"cbr0"}', 'net-conf.json': '{"Network":"10.42.0.0/16"}' },
    },
    { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name, namespace, labels }, spec },
  ];
  return objects as unknown as KubeObject[];
}

function flannelPod(): object {
  const hostPath = (name: string, path: string, type?: string): object => ({
    name,
    hostPath: { path, ...(type && { type }) },
  });
  return {
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/os', operator: 'In', values: ['linux'] }] }],
        },
      },
    },
    hostNetwork: true,
    priorityClassName: 'system-node-critical',
    tolerations: [{ operator: 'Exists', effect: 'NoSchedule' }],
    serviceAccountName: 'flannel',
    initContainers: [
      {
        name: 'install-cni-plugin',
        image: 'flannel-cni-plugin',
        command: ['cp'],
        args: ['-f', '/flannel', '/opt/cni/bin/flannel'],
        volumeMounts: [{ name: 'cni-plugin', mountPath: '/opt/cni/bin' }],
      },
      {
        name: 'install-cni',
        image: 'flannel',
        command: ['cp'],
        args: ['-f', '/etc/kube-flannel/cni-conf.json', '/etc/cni/net.d/10-flannel.conflist'],
        volumeMounts: [
          { name: 'cni', mountPath: '/etc/cni/net.d' },
          { name: 'flannel-cfg', mountPath: '/etc/kube-flannel/' },
        ],
      },
    ],
    containers: [
      {
        name: 'kube-flannel',
        image: 'flannel',
        command: ['/opt/bin/flanneld'],
        args: ['--ip-masq', '--kube-subnet-mgr'],
        resources: { requests: { cpu: '100m', memory: '50Mi' } },
        securityContext: { privileged: false, capabilities: { add: ['NET_ADMIN', 'NET_RAW'] } },
        env: [
          { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
          { name: 'POD_NAMESPACE', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
          { name: 'EVENT_QUEUE_DEPTH', value: '5000' },
        ],
        volumeMounts: [
          { name: 'run', mountPath: '/run/flannel' },
          { name: 'flannel-cfg', mountPath: '/etc/kube-flannel/' },
          { name: 'xtables-lock', mountPath: '/run/xtables.lock' },
        ],
      },
    ],
    volumes: [
      hostPath('run', '/run/flannel'),
      hostPath('cni-plugin', '/opt/cni/bin'),
      hostPath('cni', '/etc/cni/net.d'),
      { name: 'flannel-cfg', configMap: { name: 'kube-flannel-cfg' } },
      hostPath('xtables-lock', '/run/xtables.lock', 'FileOrCreate'),
    ],
  };
}
