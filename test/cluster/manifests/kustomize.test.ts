// The kustomize base and its overlays, rendered by kustomize or kubectl where the machine has one.

import { mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { needs } from '../../support/needs.ts';
import { readWholeNetConf } from '../../support/whole-net-conf.ts';
import { withFastPath, withOverlay } from '../image/manifest.ts';
import {
  agentContainer,
  asKubeObjects,
  type KubeObject,
  manifests,
  only,
  type PodSpec,
  parseYaml,
  podSpec,
  readObjects,
} from './documents.ts';
import { findProgram, runProgram } from './find-program.ts';
import { schemaProblems } from './kube-schema.ts';

const kustomize = findProgram('kustomize');
const kubectl = findProgram('kubectl');
const overlays = readdirSync(join(manifests, 'kustomize/overlays')).sort();

const rendered = new Map<string, KubeObject[]>();

/** Renders each folder only once, because starting the program takes most of the time. */
function render(folder: string): KubeObject[] {
  const known = rendered.get(folder);
  if (known !== undefined) return known;
  const path = join(manifests, 'kustomize', folder);
  const text =
    kustomize === undefined
      ? runProgram(kubectl ?? 'kubectl', ['kustomize', path])
      : runProgram(kustomize, ['build', path]);
  const objects = asKubeObjects(parseYaml(text, folder));
  rendered.set(folder, objects);
  return objects;
}

function named(objects: readonly KubeObject[]): Map<string, KubeObject> {
  return new Map(objects.map((object) => [`${object.kind} ${object.metadata.name}`, object]));
}

beforeEach(() => needs.machine((kustomize ?? kubectl) !== undefined, 'kustomize or kubectl on PATH'));

test('the base is the same as weft.yml', () => {
  expect(named(render('base'))).toEqual(named(readObjects('weft.yml')));
});

test('replace-flannel-policy is weft-policy.yml with flannel’s account, and its objects have other names', () => {
  const text = JSON.stringify([...named(readObjects('weft-policy.yml')).values()])
    .replaceAll('system:serviceaccount:weft:weft', 'system:serviceaccount:kube-flannel:flannel')
    .replaceAll('"weft-own-', '"kube-flannel-own-');
  const wanted = named(JSON.parse(text) as KubeObject[]);
  expect(named(render('overlays/replace-flannel-policy'))).toEqual(wanted);
  expect(wanted.size).toBe(4);
});

test('a user’s own kustomization can combine the base with the component own-node-policy', () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'weft-kustomize-')));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const from = relative(folder, join(manifests, 'kustomize'));
  const text = `resources: [${from}/base]\ncomponents: [${from}/components/own-node-policy]\n`;
  writeFileSync(join(folder, 'kustomization.yaml'), text);
  const wanted = named([...readObjects('weft.yml'), ...readObjects('weft-policy.yml')]);
  expect(named(render(relative(join(manifests, 'kustomize'), folder)))).toEqual(wanted);
});

test('the component monitoring joins the base: a port for metrics alone on the node’s address, PodMonitor and alerts', () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'weft-kustomize-')));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const from = relative(folder, manifests);
  const text = `resources: [${from}/kustomize/base]\ncomponents: [${from}/monitoring]\n`;
  writeFileSync(join(folder, 'kustomization.yaml'), text);
  const objects = named(render(relative(join(manifests, 'kustomize'), folder)));
  const base = named(render('base'));
  const added = [...objects.keys()].filter((name) => !base.has(name));
  expect(added.sort()).toEqual(['PodMonitor weft', 'PrometheusRule weft']);
  const template = objects.get('DaemonSet weft')?.spec?.template;
  const plain = base.get('DaemonSet weft')?.spec?.template;
  const [container] = template?.spec.containers ?? [];
  const [bare] = plain?.spec.containers ?? [];
  expect(container?.args?.filter((arg) => bare?.args?.includes(arg) !== true)).toEqual([
    '--metrics-ip=$(HOST_IP)',
    '--metrics-port=8082',
  ]);
  expect(template?.metadata).toMatchObject({
    annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/port': '8082' },
  });
  // A patch with op add would replace what is there.
  expect(plain?.metadata).not.toHaveProperty('annotations');
  expect(bare).not.toHaveProperty('ports');
});

test.for(overlays)('%s has only fields Kubernetes knows', async (overlay) => {
  const objects = render(`overlays/${overlay}`);
  expect(objects).not.toEqual([]);
  for (const object of objects) expect(await schemaProblems(object)).toEqual([]);
});

test.for([
  { overlay: 'dual-stack', want: { enableIpv4: true, enableIpv6: true } },
  { overlay: 'host-gw', want: { backend: { type: 'host-gw' } } },
  { overlay: 'iptables', want: { enableNftables: false } },
])('$overlay changes the network configuration', ({ overlay, want }) => {
  const { data = {} } = only(render(`overlays/${overlay}`), 'ConfigMap');
  const { config, warnings } = readWholeNetConf(data['net-conf.json'] ?? '');
  expect(config).toMatchObject(want);
  expect(warnings).toEqual([]);
  expect(data['cni-conf.json']).toBe(only(render('base'), 'ConfigMap').data?.['cni-conf.json']);
});

test.for(['dual-stack', 'host-gw'])('%s changes nothing else', (overlay) => {
  const [base, changed] = [named(render('base')), named(render(`overlays/${overlay}`))];
  for (const objects of [base, changed]) objects.delete('ConfigMap weft');
  expect(changed).toEqual(base);
});

test('iptables adds NET_RAW and the lock, and nothing else, as test/cluster/image runs it', () => {
  const [plain, changed] = [podSpec(readObjects('weft.yml')), podSpec(render('overlays/iptables'))];
  const [container, ...others] = plain.containers;
  const wanted = {
    ...plain,
    containers: [
      {
        ...container,
        securityContext: {
          ...container?.securityContext,
          capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] },
        },
        volumeMounts: [...(container?.volumeMounts ?? []), { name: 'xtables-lock', mountPath: '/run/xtables.lock' }],
      },
      ...others,
    ],
    volumes: [
      ...plain.volumes,
      { name: 'xtables-lock', hostPath: { path: '/run/xtables.lock', type: 'FileOrCreate' } },
    ],
  };
  expect(withOverlay('iptables').pod).toEqual(wanted);
  expect(inOrder(changed)).toEqual(inOrder(wanted as PodSpec));
});

test('fast-path adds the flag, BPF, the bpffs and the container that loads the programs, and nothing else, as test/cluster/image runs it', () => {
  const [plain, changed] = [named(readObjects('weft.yml')), named(render('overlays/fast-path'))];
  const pod = podSpec([...changed.values()]);
  expect(pod).toEqual(withFastPath());
  const { initContainers, ...rest } = pod;
  expect(initContainers).toMatchObject([
    { command: ['/opt/weft/flanneld', 'load-fast-path'], securityContext: { capabilities: { drop: ['ALL'] } } },
  ]);
  const [agent] = rest.containers;
  const [before] = podSpec([...plain.values()]).containers;
  const bpf = { name: 'bpf', mountPath: '/sys/fs/bpf' };
  expect(agent).toEqual({
    ...before,
    args: [...(before?.args ?? []), '--fast-path=redirect'],
    securityContext: { ...before?.securityContext, capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'BPF'] } },
    volumeMounts: [...(before?.volumeMounts ?? []), bpf],
  });
  for (const objects of [plain, changed]) objects.delete('DaemonSet weft');
  expect(changed).toEqual(plain);
});

test('the component fast-path joins replace-flannel as well', () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'weft-kustomize-')));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const from = relative(folder, join(manifests, 'kustomize'));
  const text = `resources: [${from}/overlays/replace-flannel]\ncomponents: [${from}/components/fast-path]\n`;
  writeFileSync(join(folder, 'kustomization.yaml'), text);
  const pod = podSpec(render(relative(join(manifests, 'kustomize'), folder)));
  expect(pod.containers).toMatchObject([
    { name: 'kube-flannel', args: expect.arrayContaining(['--fast-path=redirect']) },
  ]);
  expect(pod.initContainers).toEqual(withFastPath().initContainers);
});

/** kustomize puts the containers that it adds at the beginning of the list. */
function inOrder(pod: PodSpec): PodSpec {
  const byName = <T extends { readonly name: string }>(items: readonly T[]): T[] =>
    items.toSorted((a, b) => a.name.localeCompare(b.name));
  const containers = pod.containers.map((each) => ({ ...each, volumeMounts: byName(each.volumeMounts ?? []) }));
  return { ...pod, containers, volumes: byName(pod.volumes) };
}

describe.for([
  { overlay: 'replace-flannel', selector: { app: 'flannel' } },
  { overlay: 'replace-flannel-release', selector: { app: 'flannel', 'k8s-app': 'flannel' } },
])('$overlay', ({ overlay, selector }) => {
  const objects = (): KubeObject[] => render(`overlays/${overlay}`);

  test('is flannel’s DaemonSet to the API server: name, namespace, selector, container', () => {
    const daemonSet = only(objects(), 'DaemonSet');
    expect(daemonSet.metadata).toMatchObject({ name: 'kube-flannel-ds', namespace: 'kube-flannel' });
    expect(daemonSet.spec?.selector.matchLabels).toEqual(selector);
    expect(daemonSet.spec?.template.metadata.labels).toMatchObject({
      tier: 'node',
      app: 'flannel',
      'k8s-app': 'flannel',
    });
    expect(agentContainer(objects()).name).toBe('kube-flannel');
  });

  test('leaves flannel’s configuration as it is and reads it', () => {
    expect(objects().filter(({ kind }) => kind === 'ConfigMap')).toEqual([]);
    expect(podSpec(objects()).volumes.find(({ configMap }) => configMap !== undefined)?.configMap?.name).toBe(
      'kube-flannel-cfg',
    );
  });

  test('uses flannel’s account and role, with our rights', () => {
    const [role, binding] = [only(objects(), 'ClusterRole'), only(objects(), 'ClusterRoleBinding')];
    expect(role.rules).toEqual(only(readObjects('weft.yml'), 'ClusterRole').rules);
    expect([role.metadata.name, binding.metadata.name, binding.roleRef?.name]).toEqual([
      'flannel',
      'flannel',
      'flannel',
    ]);
    expect(binding.subjects).toEqual([{ kind: 'ServiceAccount', name: 'flannel', namespace: 'kube-flannel' }]);
    expect(podSpec(objects()).serviceAccountName).toBe('flannel');
  });

  test('replaces flannel’s plugin, and does not wait for flannel to leave', () => {
    expect(agentContainer(objects()).args).toContain('--cni-bin-replace=flannel');
    expect(podSpec(objects()).affinity.podAntiAffinity).toBeUndefined();
    expect(podSpec(objects()).affinity.nodeAffinity).toEqual(podSpec(readObjects('weft.yml')).affinity.nodeAffinity);
  });

  test('has no other difference from the plain agent', () => {
    const plain = agentContainer(readObjects('weft.yml'));
    const { args, ...replaced } = agentContainer(objects());
    expect(args?.slice(0, -1)).toEqual(plain.args);
    expect({ ...replaced, args: plain.args, name: plain.name }).toEqual(plain);
  });
});
