import { describe, expect, test } from 'vitest';
import { findFlannel, hasPolicies, preflight } from './preflight.mjs';
import { chooseTargets, probePod } from './probes.mjs';
import { lostPods, onDelete, planSteps, withoutServerFields } from './replace.mjs';

const names = (count: number): string[] => Array.from({ length: count }, (_, at) => `n${at}`);

describe('the steps of a replacement', () => {
  test.for([
    { nodes: 0, want: [] },
    { nodes: 1, want: [1] },
    { nodes: 3, want: [1, 1, 1] },
    { nodes: 25, want: [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2] },
    { nodes: 101, want: [1, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10] },
  ])('of $nodes nodes are one node, then a tenth at a time', ({ nodes, want }) => {
    const steps = planSteps(names(nodes));
    expect(steps.map((step) => step.length)).toEqual(want);
    expect(steps.flat()).toEqual(names(nodes));
  });
});

const pod = (
  uid: string,
  change: { ready?: boolean; restarts?: number; node?: string; host?: boolean; gone?: boolean } = {},
) => ({
  metadata: { uid, namespace: 'default', name: uid, ...(change.gone ? { deletionTimestamp: 'now' } : {}) },
  spec: { nodeName: change.node ?? 'n0', hostNetwork: change.host ?? false },
  status: {
    conditions: [{ type: 'Ready', status: change.ready === false ? 'False' : 'True' }],
    containerStatuses: [{ restartCount: change.restarts ?? 0 }],
  },
});

describe('a pod is lost', () => {
  test.for([
    {
      name: 'when it is no longer ready',
      before: pod('a'),
      now: [pod('a', { ready: false })],
      want: ['pod default/a on n0 is no longer ready'],
    },
    {
      name: 'when it was restarted',
      before: pod('a'),
      now: [pod('a', { restarts: 1 })],
      want: ['pod default/a on n0 was restarted'],
    },
    { name: 'not when it is as before', before: pod('a', { restarts: 3 }), now: [pod('a', { restarts: 3 })], want: [] },
    { name: 'not when somebody deleted it', before: pod('a'), now: [], want: [] },
    {
      name: 'not while somebody deletes it',
      before: pod('a'),
      now: [pod('a', { ready: false, gone: true })],
      want: [],
    },
    {
      name: 'not when it was not ready before',
      before: pod('a', { ready: false }),
      now: [pod('a', { ready: false })],
      want: [],
    },
    {
      name: 'not on a node that has not changed',
      before: pod('a', { node: 'n9' }),
      now: [pod('a', { node: 'n9', ready: false })],
      want: [],
    },
    {
      name: 'not when it has its node’s network',
      before: pod('a', { host: true }),
      now: [pod('a', { host: true, ready: false })],
      want: [],
    },
  ])('$name', ({ before, now, want }) => {
    expect(lostPods([before], now, ['n0', 'n1'])).toEqual(want);
  });
});

test('an object that is put back has no field written by the server, and its update strategy can be removed', () => {
  const metadata = {
    name: 'ds',
    resourceVersion: '1',
    uid: 'u',
    generation: 2,
    creationTimestamp: 't',
    managedFields: [],
    labels: { a: 'b' },
  };
  const spec = { updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } } };
  const kept = withoutServerFields({ kind: 'DaemonSet', metadata, spec, status: {} });
  expect(kept).toEqual({ kind: 'DaemonSet', metadata: { name: 'ds', labels: { a: 'b' } }, spec });
  expect(onDelete(kept).spec.updateStrategy).toEqual({ type: 'OnDelete', rollingUpdate: null });
});

describe('probe pods', () => {
  test('ask every other node in a small cluster; in a large one each node is asked by some', () => {
    expect(chooseTargets(names(3)).map(({ targets }) => targets)).toEqual([
      ['n1', 'n2'],
      ['n2', 'n0'],
      ['n0', 'n1'],
    ]);
    const many = chooseTargets(names(100), 8);
    expect(new Set(many.map(({ targets }) => targets.length))).toEqual(new Set([8]));
    expect(new Set(many.flatMap(({ targets }) => targets)).size).toBe(100);
    expect(chooseTargets(['alone'])).toEqual([{ from: 'alone', targets: [] }]);
  });

  test('run the installed image and no other, without any capability', () => {
    const { containers } = probePod('r.example/weft:1', ['serve']);
    expect(containers.map(({ image }) => image)).toEqual(['r.example/weft:1']);
    expect(containers[0]?.securityContext).toMatchObject({ runAsNonRoot: true, capabilities: { drop: ['ALL'] } });
  });
});

const node = (name: string, change: { arch?: string; cidr?: string; kernel?: string } = {}) => ({
  metadata: { name, labels: { 'kubernetes.io/os': 'linux' } },
  spec: { podCIDR: change.cidr ?? '10.244.0.0/24' },
  status: { nodeInfo: { architecture: change.arch ?? 'amd64', kernelVersion: change.kernel ?? '6.1.0-50-amd64' } },
});
const daemonSet = (namespace: string, name: string, labels = {}, command: string[] = []) => ({
  metadata: { namespace, name },
  spec: { template: { metadata: { labels }, spec: { containers: [{ command }] } } },
});
const fine = { version: { major: '1', minor: '31+' }, nodes: [node('a')], daemonSets: [], replaceFlannel: false };
const flannel = daemonSet('kube-flannel', 'kube-flannel-ds', { app: 'flannel' });

describe('preflight', () => {
  test('finds nothing against a plain cluster', () => {
    expect(preflight(fine)).toEqual({ errors: [], warnings: [] });
  });

  test.for([
    {
      name: 'an old API server',
      change: { version: { major: '1', minor: '24' } },
      want: 'the API server is Kubernetes 1.24; 1.25 or later is needed',
    },
    {
      name: 'another processor',
      change: { nodes: [node('a', { arch: 's390x' })] },
      want: 'node a is s390x: the image is for amd64 and arm64',
    },
    {
      name: 'no podCIDR',
      change: { nodes: [node('a', { cidr: '' })] },
      want: 'node a has no podCIDR: run kube-controller-manager',
    },
    {
      name: 'another network',
      change: { daemonSets: [daemonSet('kube-system', 'cilium')] },
      want: 'another pod network is installed, DaemonSet kube-system/cilium',
    },
    {
      name: 'flannel',
      change: { daemonSets: [flannel] },
      want: 'flannel runs here, DaemonSet kube-flannel/kube-flannel-ds: --replace-flannel',
    },
    {
      name: 'no flannel to replace',
      change: { replaceFlannel: true },
      want: '--replace-flannel: there is no DaemonSet',
    },
    { name: 'no node', change: { nodes: [] }, want: 'the cluster has no Linux node' },
  ])('stops at $name', ({ change, want }) => {
    const { errors } = preflight({ ...fine, ...change });
    expect(errors).toEqual([expect.stringContaining(want)]);
  });

  test('replaces flannel where it is, and knows Weft in a DaemonSet of flannel’s name', () => {
    expect(preflight({ ...fine, daemonSets: [flannel], replaceFlannel: true }).errors).toEqual([]);
    const replaced = daemonSet('kube-flannel', 'kube-flannel-ds', { app: 'flannel' }, ['/opt/weft/flanneld']);
    expect(findFlannel([replaced])).toBe(undefined);
  });

  test('warns of a kernel version without tests', () => {
    expect(preflight({ ...fine, nodes: [node('a', { kernel: '5.4.0-100-generic' })] }).warnings).toEqual([
      'node a has Linux 5.4.0-100-generic; 5.10 or later is tested',
    ]);
  });

  test('learns from the API server’s list of resources whether it has admission policies', () => {
    expect(hasPolicies({ resources: [{ name: 'validatingadmissionpolicies' }] })).toBe(true);
    expect([hasPolicies({ resources: [] }), hasPolicies(undefined)]).toEqual([false, false]);
  });
});
