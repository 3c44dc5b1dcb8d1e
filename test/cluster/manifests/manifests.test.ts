// Checks the files from which a cluster is deployed, as far as this is possible without a cluster. The tests in
// test/cluster/api-server apply them to a real API server.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { flagTable } from '../../../flanneld/cli/flag-table.ts';
import { normalizePrefix } from '../../../flanneld/subnet/kube/annotations.ts';
import { STILL_SEC } from '../../../lib/sys/deadline-node.ts';
import { joinManifests, plainFiles } from '../../../scripts/manifests.mjs';
import { readWholeNetConf } from '../../support/whole-net-conf.ts';
import {
  agentContainer,
  type Container,
  type KubeObject,
  manifests,
  only,
  podSpec,
  readObjects,
  readYaml,
  repository,
} from './documents.ts';
import { schemaProblems } from './kube-schema.ts';

const weft = readObjects('weft.yml');
const cleanup = readObjects('cleanup.yml');
const policy = readObjects('weft-policy.yml');
const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { version: string };
/** The toleration of flannel's DaemonSet. Ours needs it too, or nodes on which flannel runs would be left out. */
const FLANNEL_TOLERATION = { operator: 'Exists', effect: 'NoSchedule' };

describe('schema', () => {
  test.for(
    [...weft, ...policy, ...cleanup].map((object) => ({ name: `${object.kind} ${object.metadata.name}`, object })),
  )('$name has only fields Kubernetes knows, of the right types', async ({ object }) => {
    expect(await schemaProblems(object)).toEqual([]);
  });

  test('a wrong object does not pass the schema (control)', async () => {
    const [namespace] = weft;
    const wrong = { ...namespace, metadata: { name: 1, nmae: 'x' } } as unknown as KubeObject;
    expect(await schemaProblems(wrong)).toEqual([
      'metadata.name: expected string, got 1',
      'metadata.nmae: unknown field',
    ]);
  });
});

test.for(Object.entries(plainFiles))('%s is made from its kustomize folder (node scripts/manifests.mjs)', ([name]) => {
  expect(readFileSync(join(manifests, name), 'utf8')).toBe(joinManifests(name));
});

describe('weft-policy.yml', () => {
  test('holds the account of weft.yml to its own Node, and is bound', () => {
    const account = only(weft, 'ServiceAccount').metadata;
    const text = `request.userInfo.username == 'system:serviceaccount:${account.namespace}:${account.name}'`;
    const policies = policy.filter(({ kind }) => kind === 'ValidatingAdmissionPolicy');
    expect(policies).not.toEqual([]);
    for (const { spec } of policies) expect(spec).toMatchObject({ matchConditions: [{ expression: text }] });
    const bindings = policy.filter(({ kind }) => kind === 'ValidatingAdmissionPolicyBinding');
    const bound = bindings.map(({ spec }) => (spec as unknown as { policyName: string }).policyName);
    expect(bound).toEqual(policies.map(({ metadata }) => metadata.name));
    expect(bindings.map(({ spec }) => spec)).toEqual(
      bound.map((policyName) => ({ policyName, validationActions: ['Deny'] })),
    );
  });

  test('has the annotation prefix that flanneld uses', () => {
    const prefix = normalizePrefix(flagTable.find(({ name }) => name === 'kube-annotation-prefix')?.default ?? '');
    expect(policy[0]?.spec).toMatchObject({
      variables: expect.arrayContaining([{ name: 'prefix', expression: `'${prefix}'` }]),
    });
  });

  test('is not part of weft.yml, because Kubernetes before 1.30 must accept all of weft.yml', () => {
    expect(weft.filter(({ apiVersion }) => apiVersion.startsWith('admissionregistration'))).toEqual([]);
  });
});

describe('weft.yml', () => {
  test('has everything an overlay needs and nothing else, in an order in which it can be applied', () => {
    expect(weft.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`)).toEqual([
      'Namespace /weft',
      'ServiceAccount weft/weft',
      'ClusterRole /weft',
      'ClusterRoleBinding /weft',
      'ConfigMap weft/weft',
      'DaemonSet weft/weft',
    ]);
  });

  test('puts the agent where pod security lets it run', () => {
    expect(only(weft, 'Namespace').metadata.labels).toMatchObject({
      'pod-security.kubernetes.io/enforce': 'privileged',
    });
  });

  test('may read nodes, write node status and events, and nothing more', () => {
    expect(only(weft, 'ClusterRole').rules).toEqual([
      { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: [''], resources: ['nodes/status'], verbs: ['patch'] },
      { apiGroups: [''], resources: ['events'], verbs: ['create'] },
    ]);
  });

  test('binds that role to the account of the pods', () => {
    const binding = only(weft, 'ClusterRoleBinding');
    expect(binding.roleRef).toMatchObject({ kind: 'ClusterRole', name: only(weft, 'ClusterRole').metadata.name });
    expect(binding.subjects).toEqual([
      { kind: 'ServiceAccount', name: podSpec(weft).serviceAccountName, namespace: 'weft' },
    ]);
    expect(only(weft, 'ServiceAccount').metadata.name).toBe(podSpec(weft).serviceAccountName);
  });

  test('has a configuration that the agent reads without a warning', () => {
    const { backend, warnings } = readWholeNetConf(only(weft, 'ConfigMap').data?.['net-conf.json'] ?? '');
    expect(warnings).toEqual([]);
    expect(backend.type).toBe('vxlan');
  });

  test('has flannel’s network and plugins, in a version that containerd 1.6 accepts', () => {
    const conflist = JSON.parse(only(weft, 'ConfigMap').data?.['cni-conf.json'] ?? '') as Record<string, unknown>;
    expect(conflist).toEqual({
      name: 'cbr0',
      cniVersion: '1.0.0',
      plugins: [
        { type: 'flannel', delegate: { hairpinMode: true, isDefaultGateway: true } },
        { type: 'portmap', capabilities: { portMappings: true } },
      ],
    });
  });
});

describe('the agent’s pod', () => {
  const spec = podSpec(weft);
  const container = agentContainer(weft);

  test('is selected by its own labels', () => {
    const daemonSet = only(weft, 'DaemonSet').spec;
    expect(daemonSet?.template.metadata.labels).toMatchObject(daemonSet?.selector.matchLabels ?? {});
  });

  test('runs on every node as flannel’s does, and never beside flannel', () => {
    expect(spec.hostNetwork).toBe(true);
    expect(spec.hostPID).toBeUndefined();
    expect(spec.priorityClassName).toBe('system-node-critical');
    expect(spec.tolerations).toContainEqual(FLANNEL_TOLERATION);
    expect(JSON.stringify(spec.affinity.podAntiAffinity)).toContain('"app":"flannel"');
  });

  test('learns its node’s name without a request, so it needs no right to read pods', () => {
    expect(container).toMatchObject({
      env: [{ name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
    });
  });

  test('has only flags that flanneld knows', () => {
    const known = flagTable.map(({ name }) => name);
    const given = (container.args ?? []).map((arg) => /^--([a-z-]+)/.exec(arg)?.[1] ?? arg);
    expect(given.filter((name) => !known.includes(name))).toEqual([]);
  });

  test('has every folder that its flags name, and can write only where it must', () => {
    const mounts = new Map((container.volumeMounts ?? []).map((mount) => [mount.mountPath, mount]));
    for (const flag of ['cni-conf-dir', 'cni-bin-dir'])
      expect(mounts.get(flagValue(container, flag))?.readOnly).toBeUndefined();
    expect(mounts.get('/etc/kube-flannel')?.readOnly).toBe(true);
    expect(flagValue(container, 'cni-conf')).toMatch(/^\/etc\/kube-flannel\//);
    expect(mounts.get('/run/flannel')?.readOnly).toBeUndefined();
    expect(mounts.get('/run/netns')).toMatchObject({ mountPropagation: 'HostToContainer', readOnly: true });
    expect([...mounts.keys()].sort()).toEqual([
      '/etc/cni/net.d',
      '/etc/kube-flannel',
      '/opt/cni/bin',
      '/run/flannel',
      '/run/netns',
      '/var/lib/cni',
    ]);
  });

  test.for([
    { probe: 'livenessProbe', path: '/healthz' },
    { probe: 'readinessProbe', path: '/readyz' },
  ] as const)('is asked at $path, where it listens: on the host’s loopback only', ({ probe, path }) => {
    const host = flagValue(container, 'healthz-ip');
    const port = Number(flagValue(container, 'healthz-port'));
    expect(container[probe]?.httpGet).toEqual({ host, port, path });
    expect(host).toBe('127.0.0.1');
  });

  test('is replaced on a tenth of the nodes at a time', () => {
    expect(only(weft, 'DaemonSet').spec?.updateStrategy).toEqual({
      type: 'RollingUpdate',
      rollingUpdate: { maxUnavailable: '10%' },
    });
  });
});

describe('every container', () => {
  const specs = [weft, cleanup].map(podSpec);
  const containers = specs.flatMap((spec) => [...(spec.initContainers ?? []), ...spec.containers]);

  test.for(containers)('$name has no right it does not need', ({ securityContext, name }) => {
    expect(securityContext).toMatchObject({
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      seccompProfile: { type: 'RuntimeDefault' },
      capabilities: { drop: ['ALL'] },
    });
    const { add } = securityContext['capabilities'] as { add?: string[] };
    expect(add).toEqual(name === 'done' ? undefined : ['NET_ADMIN']);
  });

  test.for(containers)('$name is of this version', ({ image, command }) => {
    expect(image).toBe(`weft:${version}`);
    expect(command[0]).toMatch(/^(\/opt\/weft\/flanneld|sleep)$/);
  });

  test('mounts only volumes that exist, and each volume is used', () => {
    expect(specs).not.toEqual([]);
    for (const spec of specs) {
      const mounted = [...(spec.initContainers ?? []), ...spec.containers].flatMap(
        ({ volumeMounts = [] }) => volumeMounts,
      );
      expect(new Set(mounted.map(({ name }) => name))).toEqual(new Set(spec.volumes.map(({ name }) => name)));
    }
  });

  test('does not change the kernel’s settings', () => {
    for (const { hostPath } of specs.flatMap(({ volumes }) => volumes))
      expect(hostPath?.path ?? '').not.toMatch(/^\/(proc|sys|dev)?$/);
  });
});

describe('cleanup.yml', () => {
  test('cleans the folders to which the agent writes, and waits while an agent runs', () => {
    const [container] = podSpec(cleanup).initContainers ?? [];
    const paths = (from: readonly { mountPath: string }[] = []): string[] => from.map(({ mountPath }) => mountPath);
    expect(paths(container?.volumeMounts)).toEqual([
      ...['/run/flannel', '/etc/cni/net.d', '/opt/cni/bin', '/var/lib/cni'],
      '/sys/fs/bpf', // written with the component fast-path only
    ]);
    expect(container?.command).toEqual(['/opt/weft/flanneld', 'cleanup']);
    expect(JSON.stringify(podSpec(cleanup).affinity.podAntiAffinity)).toContain('"app.kubernetes.io/name":"weft"');
  });
});

describe('kind/cluster.yml', () => {
  test('has several nodes, no network plugin, and the pod network of net-conf.json', () => {
    const [cluster] = readYaml('kind/cluster.yml') as { networking: Record<string, unknown>; nodes: unknown[] }[];
    const netConf = JSON.parse(only(weft, 'ConfigMap').data?.['net-conf.json'] ?? '') as { Network: string };
    expect(cluster?.networking).toMatchObject({ disableDefaultCNI: true, podSubnet: netConf.Network });
    expect(cluster?.nodes.length).toBeGreaterThan(2);
  });
});

describe('systemd', () => {
  const unit = readFileSync(join(manifests, 'systemd/flanneld.service'), 'utf8');

  test('the unit sets only variables that flanneld knows, and mentions no others', () => {
    const known = flagTable.map(({ name }) => `FLANNELD_${name.toUpperCase().replaceAll('-', '_')}`);
    const named = unit.match(/FLANNELD_[A-Z_]+/g) ?? [];
    expect(named.length).toBeGreaterThan(3);
    expect(named.filter((name) => !known.includes(name))).toEqual([]);
  });

  test('subnet.env survives the agent, and the unit grants only NET_ADMIN', () => {
    expect(unit).toContain('RuntimeDirectoryPreserve=yes');
    expect(unit).toContain('CapabilityBoundingSet=CAP_NET_ADMIN\n');
    expect(unit).toContain('Type=notify');
  });

  test('systemd ends an agent that no longer answers, but later than the agent would end itself', () => {
    expect(Number(/^WatchdogSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(STILL_SEC);
  });

  test('has the configuration of the cluster', () => {
    const { data = {} } = only(weft, 'ConfigMap');
    expect(Object.keys(data)).not.toEqual([]);
    for (const [name, text] of Object.entries(data)) {
      expect(readFileSync(join(manifests, 'systemd', name), 'utf8')).toBe(text);
    }
  });
});

function flagValue({ args }: Container, flag: string): string {
  return args?.find((arg) => arg.startsWith(`--${flag}=`))?.slice(flag.length + 3) ?? '';
}
