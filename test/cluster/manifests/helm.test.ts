// The Helm chart: its values against its schema, and rendered by helm where the machine has one.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { normalizePrefix } from '../../../flanneld/subnet/kube/annotations.ts';
import { PLUGIN_NAMES } from '../../../lib/plugin-names.ts';
import { needs } from '../../support/needs.ts';
import { readWholeNetConf } from '../../support/whole-net-conf.ts';
import { withFastPath, withOverlay } from '../image/manifest.ts';
import {
  agentContainer,
  asKubeObjects,
  type Json,
  type JsonObject,
  type KubeObject,
  manifests,
  only,
  parseYaml,
  podSpec,
  readObjects,
  readYaml,
  repository,
} from './documents.ts';
import { findProgram, runProgram } from './find-program.ts';
import { schemaErrors } from './json-schema.ts';
import { schemaProblems } from './kube-schema.ts';

const chart = join(manifests, 'helm/weft');
const schema = JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')) as Json;
const [values = {}] = readYaml('helm/weft/values.yaml') as JsonObject[];
const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { version: string };
const helm = findProgram('helm');

/** values.yaml with one value changed: `flannel.vni`. */
function changed(path: string, value: Json): JsonObject {
  const copy = structuredClone(values);
  const names = path.split('.');
  const last = names.pop() ?? '';
  let place: JsonObject = copy;
  for (const name of names) {
    place[name] ??= {};
    place = place[name] as JsonObject;
  }
  place[last] = value;
  return copy;
}

describe('values.schema.json', () => {
  test('takes the values that come with the chart', () => {
    expect(schemaErrors(values, schema)).toEqual([]);
  });

  test('knows every value that the chart has', () => {
    const flannel = Object.keys(values['flannel'] as JsonObject);
    const properties = (schema as { properties: { flannel: { properties: object } } }).properties.flannel.properties;
    expect(flannel.filter((name) => !(name in properties))).toEqual([]);
  });

  test('lets each name of the executable be replaced', () => {
    expect(schemaErrors(changed('flannel.cniBinReplace', [...PLUGIN_NAMES]), schema)).toEqual([]);
  });

  test.for<{ path: string; value: Json }>([
    { path: 'podCidr', value: '' },
    { path: 'podCidrv6', value: 'fd00:10:244::/56' },
    { path: 'flannel.vni', value: 16777215 },
    { path: 'flannel.backendPort', value: 4789 },
    { path: 'flannel.directRouting', value: true },
    { path: 'flannel.enableNFTables', value: false },
    { path: 'flannel.backend', value: 'host-gw' },
    { path: 'flannel.probes', value: false },
    { path: 'flannel.fastPath', value: 'redirect' },
    { path: 'flannel.flannel_cni', value: { image: { repository: 'x', tag: 'y' } } },
    { path: 'flannel.macPrefix', value: '0E-2A' },
    { path: 'flannel.cniBinReplace', value: ['bridge', 'portmap'] },
    { path: 'netpol', value: { enabled: false, args: [] } },
  ])('accepts $path: $value', ({ path, value }) => {
    expect(schemaErrors(changed(path, value), schema)).toEqual([]);
  });

  test.for<{ path: string; value: Json }>([
    { path: 'podCidr', value: 'fd00::/56' },
    { path: 'podCidrv6', value: '10.244.0.0/16' },
    { path: 'podCIDR', value: '10.244.0.0/16' },
    { path: 'replaceFlannel', value: 'yes' },
    { path: 'ownNodePolicy', value: 'yes' },
    { path: 'flannel.backend', value: 'wireguard' },
    { path: 'flannel.probes', value: 'sometimes' },
    { path: 'flannel.fastPath', value: 'on' },
    { path: 'flannel.vni', value: 16777216 },
    { path: 'flannel.vni', value: '1' },
    { path: 'flannel.backendPort', value: 65536 },
    { path: 'flannel.psk', value: 'secret' },
    { path: 'flannel.cniBinDir', value: 'opt/cni/bin' },
    { path: 'flannel.cniBinReplace', value: ['cilium-cni'] },
    { path: 'flannel.healthz', value: {} },
    { path: 'flannel.image', value: { repository: '' } },
    { path: 'netpol', value: { enabled: true } },
  ])('refuses $path: $value', ({ path, value }) => {
    const errors = schemaErrors(changed(path, value), schema);
    expect(errors.length).toBeGreaterThan(0);
    expect(errors[0]).toContain(path.split('.').at(-1));
  });
});

test('chart, application, image and package have one version', () => {
  const [about] = readYaml('helm/weft/Chart.yaml') as JsonObject[];
  const { image } = values['flannel'] as { image: JsonObject };
  expect([about?.['version'], about?.['appVersion'], image['tag']]).toEqual([version, version, version]);
});

describe('rendered', () => {
  const renderFor = (apis: readonly string[], namespace: string, ...set: readonly string[]): KubeObject[] => {
    const options = ['--namespace', namespace, '--kube-version', apis.length > 0 ? '1.36.0' : '1.29.0'];
    const more = [...apis.flatMap((api) => ['--api-versions', api]), ...set.flatMap((one) => ['--set', one])];
    return asKubeObjects(
      parseYaml(runProgram(helm ?? 'helm', ['template', 'weft', chart, ...options, ...more]), 'chart'),
    );
  };
  const render = (namespace: string, ...set: readonly string[]): KubeObject[] =>
    renderFor(['admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy'], namespace, ...set);
  const policies = (objects: readonly KubeObject[]): KubeObject[] =>
    objects.filter(({ apiVersion }) => apiVersion.startsWith('admissionregistration'));
  const netConf = (objects: readonly KubeObject[]): ReturnType<typeof readWholeNetConf> =>
    readWholeNetConf(only(objects, 'ConfigMap').data?.['net-conf.json'] ?? '');

  beforeEach(() => needs.machine(helm !== undefined, 'helm on PATH'));

  test('without values is weft.yml but for the namespace, which helm makes', () => {
    const plain = readObjects('weft.yml').filter(({ kind }) => kind !== 'Namespace');
    const objects = render('weft', 'ownNodePolicy=false');
    expect(objects.map(({ kind }) => kind).sort()).toEqual(plain.map(({ kind }) => kind).sort());
    for (const object of plain.filter(({ kind }) => kind !== 'DaemonSet' && kind !== 'ConfigMap')) {
      expect(only(objects, object.kind)).toEqual(object);
    }
    const { args: plainArgs, ...plainContainer } = agentContainer(plain);
    const { args, ...container } = agentContainer(objects);
    expect(container).toEqual(plainContainer);
    expect([...(args ?? [])].sort()).toEqual([...(plainArgs ?? [])].sort());
    expect({ ...podSpec(objects), containers: [] }).toEqual({ ...podSpec(plain), containers: [] });
    expect(netConf(objects)).toEqual(netConf(plain));
    const conflists = [objects, plain].map((list) => JSON.parse(only(list, 'ConfigMap').data?.['cni-conf.json'] ?? ''));
    expect(conflists[0]).toEqual(conflists[1]);
  });

  test.for([
    { set: 'flannel.probes=false', want: ['--probes=off'] },
    { set: 'flannel.probes=true', want: ['--probes=on'] },
    { set: 'flannel.probes=null', want: [] },
    { set: 'flannel.fastPath=off', want: ['--fast-path=off'] },
  ])('gives the agent the flag for $set', ({ set, want }) => {
    const { args = [] } = agentContainer(render('weft', set));
    expect(args.filter((arg) => /^--(probes|fast-path)/.test(arg))).toEqual(want);
  });

  test('contains weft-policy.yml where the cluster supports such policies and no value switches it off', () => {
    const inOrder = (objects: KubeObject[]): KubeObject[] =>
      objects.toSorted((a, b) => `${a.kind} ${a.metadata.name}`.localeCompare(`${b.kind} ${b.metadata.name}`));
    expect(inOrder(policies(render('weft')))).toEqual(inOrder(readObjects('weft-policy.yml')));
    expect(policies(render('weft', 'ownNodePolicy=false'))).toEqual([]);
    expect(policies(renderFor([], 'weft'))).toEqual([]);
  });

  test.for([
    { args: '--ip-masq', want: 'flannel.alpha.coreos.com/' },
    { args: '--kube-annotation-prefix=example.org', want: 'example.org/' },
    { args: '-kube-annotation-prefix=example.org/net', want: 'example.org/net-' },
    { args: '--kube-annotation-prefix=example.org/net-', want: 'example.org/net-' },
  ])('and the policy has the release’s account and the prefix of $args', ({ args, want }) => {
    const [policy] = policies(render('kube-flannel', 'replaceFlannel=true', `flannel.args={${args}}`));
    expect(policy?.metadata.name).toBe('kube-flannel-own-node');
    expect(JSON.stringify(policy)).toContain("'system:serviceaccount:kube-flannel:flannel'");
    expect(policy?.spec).toMatchObject({
      variables: expect.arrayContaining([{ name: 'prefix', expression: `'${want}'` }]),
    });
    expect(args.startsWith('--ip') ? want : normalizePrefix(args.replace(/^[^=]*=/, ''))).toBe(want);
  });

  test.for([
    { set: [] },
    { set: ['replaceFlannel=true', 'flannel.fastPath=redirect'] },
    { set: ['replaceFlannel=true'] },
    { set: ['podCidrv6=fd00:10:244::/56', 'flannel.skipCNIConfigInstallation=true'] },
    { set: ['flannel.healthz.port=0', 'global.imagePullSecrets[0].name=registry', 'flannel.nodeSelector.a=b'] },
  ])('with $set has only fields Kubernetes knows', async ({ set }) => {
    const objects = render('somewhere', ...set);
    expect(objects).not.toEqual([]);
    for (const object of objects) expect(await schemaProblems(object)).toEqual([]);
  });

  test('D30: writes every backend value as the agent reads it', () => {
    const given = [
      'vni=16777215',
      'backendPort=4789',
      'mtu=9000',
      'GBP=true',
      'directRouting=true',
      'enableNFTables=true',
    ];
    const { config, backend, warnings } = netConf(render('weft', ...given.map((one) => `flannel.${one}`)));
    expect(warnings).toEqual([]);
    expect(config.enableNftables).toBe(true);
    expect(backend).toMatchObject({
      type: 'vxlan',
      conf: { vni: 16777215, port: 4789, mtu: 9000, gbp: true, directRouting: true },
    });
  });

  test('with host-gw writes that backend, and nothing of VXLAN', () => {
    expect(netConf(render('weft', 'flannel.backend=host-gw'))).toMatchObject({
      backend: { type: 'host-gw' },
      warnings: [],
    });
  });

  test('with iptables is the same as overlays/iptables', () => {
    const [objects, { pod, configMap }] = [render('weft', 'flannel.enableNFTables=false'), withOverlay('iptables')];
    const [wanted] = pod.containers;
    const { securityContext, volumeMounts } = agentContainer(objects);
    expect({ securityContext, volumeMounts, volumes: podSpec(objects).volumes }).toEqual({
      securityContext: wanted?.securityContext,
      volumeMounts: wanted?.volumeMounts,
      volumes: pod.volumes,
    });
    expect(netConf(objects)).toEqual(netConf([configMap]));
  });

  test('with the fast path is the same as overlays/fast-path, and needs nothing more without it', () => {
    const [objects, wanted] = [render('weft', 'flannel.fastPath=redirect'), withFastPath()];
    const [container] = wanted.containers;
    const { args, securityContext, volumeMounts } = agentContainer(objects);
    const { initContainers, volumes } = podSpec(objects);
    expect([...(args ?? [])].sort()).toEqual([...(container?.args ?? [])].sort());
    expect({ securityContext, volumeMounts, volumes, initContainers }).toEqual({
      securityContext: container?.securityContext,
      volumeMounts: container?.volumeMounts,
      volumes: wanted.volumes,
      initContainers: wanted.initContainers,
    });
    const { args: offArgs, ...off } = agentContainer(render('weft', 'flannel.fastPath=off'));
    const { args: plainArgs, ...plain } = agentContainer(render('weft'));
    expect(off).toEqual(plain);
    expect(offArgs?.filter((arg) => plainArgs?.includes(arg) !== true)).toEqual(['--fast-path=off']);
  });

  test('switches families on and off with their networks', () => {
    const v6 = netConf(render('weft', 'podCidr=', 'podCidrv6=fd00::/56')).config;
    expect([v6.enableIpv4, v6.enableIpv6]).toEqual([false, true]);
  });

  test('uses flannel’s names and selector in order to replace flannel', () => {
    const objects = render('kube-flannel', 'replaceFlannel=true');
    const daemonSet = only(objects, 'DaemonSet');
    expect(daemonSet.metadata).toMatchObject({ name: 'kube-flannel-ds', namespace: 'kube-flannel' });
    expect(daemonSet.spec?.selector.matchLabels).toEqual({ app: 'flannel' });
    expect(daemonSet.spec?.template.metadata.labels).toMatchObject({ app: 'flannel' });
    expect(only(objects, 'ConfigMap').metadata.name).toBe('kube-flannel-cfg');
    expect(podSpec(objects).volumes.find(({ configMap }) => configMap !== undefined)?.configMap?.name).toBe(
      'kube-flannel-cfg',
    );
    expect(podSpec(objects).affinity.podAntiAffinity).toBeUndefined();
    expect(agentContainer(objects).args).toContain('--cni-bin-replace=flannel');
  });

  test('leaves out the conflist and the probes when values say so', () => {
    const { args, livenessProbe, readinessProbe } = agentContainer(
      render('weft', 'flannel.skipCNIConfigInstallation=true', 'flannel.healthz.port=0'),
    );
    expect([livenessProbe, readinessProbe]).toEqual([undefined, undefined]);
    expect(args?.filter((arg) => /--cni-conf=|--healthz/.test(arg))).toEqual([]);
  });

  test('starts new pods when the configuration changes', () => {
    const sums = ['weft', 'weft'].map((namespace, at) => {
      const objects = render(namespace, `flannel.vni=${at + 1}`);
      return JSON.stringify(only(objects, 'DaemonSet').spec?.template.metadata);
    });
    expect(sums[0]).not.toBe(sums[1]);
  });

  test('is refused by helm itself for a backend of another version', () => {
    expect(() => render('weft', 'flannel.backend=wireguard')).toThrow('backend');
  });
});
