// With kubectl and a real API server: after our objects are applied over flannel's, nothing of flannel's is left in the DaemonSet, and
// after flannel's are applied again, nothing of ours. There is no kubelet, so nothing runs on nodes here.

import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { flannelObjects } from '../../support/flannel-objects.ts';
import { type KubeApiserver, missingApiserver, startKubeApiserver } from '../../support/kube-apiserver.ts';
import { needs } from '../../support/needs.ts';
import { asKubeObjects, type Json, type KubeObject, manifests, parseYaml, podSpec } from '../manifests/documents.ts';
import { findProgram } from '../manifests/find-program.ts';

const START_MS = 180_000;
const config = { 'cni-conf.json': '{"name":"cbr0"}', 'net-conf.json': '{"Network":"10.42.0.0/16"}' };
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

describe('kubectl apply --dry-run=server accepts', () => {
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
    flannelObjects({ selector, config })
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
    // The object contains what we asked for and the server's defaults. The lists contain nothing else.
    expect(spec.containers).toMatchObject(ours.containers);
    expect(spec.containers[0]?.securityContext).toEqual(ours.containers[0]?.securityContext);
  });

  test('the DaemonSet is the same object, and flannel’s configuration is unchanged', () => {
    const { metadata, spec } = replaced as unknown as { metadata: { uid: string }; spec: KubeObject['spec'] };
    expect(metadata.uid).toBe((before.metadata as unknown as { uid: string }).uid);
    expect(spec?.selector.matchLabels).toEqual(selector);
    const { data } = inCluster('configmap', 'kube-flannel-cfg') as unknown as KubeObject;
    expect(data).toEqual(config);
  });

  test('flannel’s manifest applied again brings flannel back, and nothing of ours stays', () => {
    run(['apply', '--filename=-'], flannel());
    const back = inCluster('daemonset', 'kube-flannel-ds') as unknown as KubeObject;
    expect(podSpec([back])).toEqual(podSpec([before]));
    expect(back.spec?.template.metadata).toEqual(before.spec?.template.metadata);
  });
});
