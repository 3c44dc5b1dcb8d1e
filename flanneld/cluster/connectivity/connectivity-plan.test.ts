import { describe, expect, test } from 'vitest';
import type { AgentPod, ClusterNode } from '../ask/agents.ts';
import { chooseMembers, planTrials, podObject, type ReadyMember, type Trial } from './connectivity-plan.ts';

const agent: AgentPod = {
  namespace: 'weft',
  pod: 'weft-x',
  container: 'flanneld',
  image: 'registry.example/weft:1',
  imagePullPolicy: 'IfNotPresent',
  argv: ['/opt/weft/flanneld'],
};

function node(name: string, change: Partial<ClusterNode> = {}): ClusterNode {
  return { name, addresses: ['192.0.2.1'], kubeletPort: 10_250, isReady: true, hasLease: true, agent, ...change };
}

const many = Array.from({ length: 100 }, (_, at) => node(`node-${at}`));

function ready(name: string, podIps: readonly string[], addresses: readonly string[]): ReadyMember {
  return { node: node(`node-${name}`, { addresses }), agent, name: `pod-${name}`, podIps, serviceIp: '10.96.0.1' };
}

describe('chooseMembers', () => {
  test('chooses nodes from all parts of the list, and not more than allowed', () => {
    expect(chooseMembers(many, 4).map(({ node: { name }, name: pod }) => [name, pod])).toEqual([
      ['node-0', 'pod-1'],
      ['node-25', 'pod-2'],
      ['node-50', 'pod-3'],
      ['node-75', 'pod-4'],
    ]);
    expect(chooseMembers(many.slice(0, 2), 4)).toHaveLength(2);
  });

  test('leaves out nodes that cannot run a pod', () => {
    const { agent: _, ...bare } = node('bare');
    const dead = node('dead', { agent: { ...agent, notRunning: 'CrashLoopBackOff' } });
    expect(
      chooseMembers([bare, dead, node('sick', { isReady: false }), node('well')], 9).map(({ node: { name } }) => name),
    ).toEqual(['well']);
  });
});

describe('planTrials', () => {
  const members = [ready('a', ['10.244.1.2'], ['192.0.2.1']), ready('b', ['10.244.2.2'], ['192.0.2.2', '2001:db8::2'])];
  const count = (trials: readonly Trial[]): string[] =>
    (['pod', 'full-size', 'service', 'node', 'dns'] as const).map(
      (part) => `${part} ${trials.filter((trial) => trial.part === part).length}`,
    );

  test('tries every pair in both directions, and a Service on the same node', () => {
    expect(count(planTrials(members, 'ns', []))).toEqual(['pod 2', 'full-size 2', 'service 4', 'node 8', 'dns 2']);
  });

  test('leaves out the tests that it is told to leave out', () => {
    expect(count(planTrials(members, 'ns', ['dns', 'node']))).toEqual([
      'pod 2',
      'full-size 2',
      'service 4',
      'node 0',
      'dns 0',
    ]);
  });

  test('tries an address of a node only from a pod that has the family', () => {
    const hosts = planTrials(members, 'ns', []).flatMap(({ check }) => (check.kind === 'tcp' ? [check.host] : []));
    expect(new Set(hosts)).toEqual(new Set(['192.0.2.1', '192.0.2.2']));
    const dual = [ready('a', ['10.244.1.2', 'fd00::2'], []), ...members.slice(1)];
    expect(JSON.stringify(planTrials(dual, 'ns', []))).toContain('"host":"2001:db8::2"');
  });

  test('gives each trial a key of its own', () => {
    const keys = planTrials(members, 'ns', []).map(({ check }) => check.key);
    expect(new Set(keys).size).toBe(keys.length);
  });
});

test('a test pod has no right, no token, and ends by itself', () => {
  const pod = podObject({ node: node('n'), agent, name: 'pod-1' }, 'PROGRAM');
  expect(pod).toMatchObject({
    spec: {
      nodeName: 'n',
      automountServiceAccountToken: false,
      activeDeadlineSeconds: 900,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          image: 'registry.example/weft:1',
          imagePullPolicy: 'IfNotPresent',
          command: ['node', '-e', 'PROGRAM', 'serve', 'pod-1'],
          securityContext: {
            allowPrivilegeEscalation: false,
            capabilities: { drop: ['ALL'] },
            readOnlyRootFilesystem: true,
          },
        },
      ],
    },
  });
});
