// Decides which nodes are tested, which objects this needs, and which checks each pod and node runs. Pure functions.

import { isIPv6 } from 'node:net';
import type { AgentPod, ClusterNode } from '../ask/agents.ts';
import { type Check, POD_PORT } from './checks.ts';

export const TEST_LABEL = 'app.kubernetes.io/name';
export const TEST_NAME = 'weft-connectivity';
const SERVICE_PORT = 80;
/** A pod ends by itself after this time, even if nobody removes it. */
const POD_SECONDS = 900;

/** A node that is tested. */
export interface Member {
  readonly node: ClusterNode;
  readonly agent: AgentPod;
  /** The name of its test pod and of the pod's Service. */
  readonly name: string;
}

/** Chooses at most `count` nodes that can run pods, spread evenly over all of these. */
export function chooseMembers(nodes: readonly ClusterNode[], count: number): Member[] {
  const fit = nodes.flatMap((node) =>
    node.isReady && node.agent !== undefined && node.agent.notRunning === undefined
      ? [{ node, agent: node.agent }]
      : [],
  );
  const number = Math.min(count, fit.length);
  return Array.from({ length: number }, (_, at) => fit[Math.floor((at * fit.length) / number)])
    .filter((each) => each !== undefined)
    .map((each, at) => ({ ...each, name: `pod-${at + 1}` }));
}

export function namespaceObject(name: string): object {
  const labels = { [TEST_LABEL]: TEST_NAME, 'pod-security.kubernetes.io/enforce': 'restricted' };
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

/** A pod with the agent's own image, which every node has already, and without any rights. */
export function podObject({ node, agent, name }: Member, program: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { [TEST_LABEL]: TEST_NAME, pod: name } },
    spec: {
      // Not scheduled: the test is about the network, not about the scheduler.
      nodeName: node.name,
      tolerations: [{ operator: 'Exists' }],
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 1,
      activeDeadlineSeconds: POD_SECONDS,
      securityContext: { runAsNonRoot: true, runAsUser: 65_534, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'test',
          image: agent.image,
          imagePullPolicy: agent.imagePullPolicy,
          command: ['node', '-e', program, 'serve', name],
          ports: [{ containerPort: POD_PORT }],
          readinessProbe: { httpGet: { path: '/', port: POD_PORT }, periodSeconds: 1 },
          resources: { requests: { cpu: '5m', memory: '32Mi' } },
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
        },
      ],
    },
  };
}

export function serviceObject({ name }: Member): object {
  const spec = { selector: { pod: name }, ports: [{ port: SERVICE_PORT, targetPort: POD_PORT }] };
  return { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec };
}

/** A member whose pod is running. */
export interface ReadyMember extends Member {
  readonly podIps: readonly string[];
  readonly serviceIp: string;
}

/** One check, and which part of the network it tests. */
export interface Trial {
  readonly part: Part;
  readonly from: string;
  readonly to: string;
  /** Where the check runs: in the test pod, or in the node's network. */
  readonly where: 'pod' | 'node';
  readonly check: Check;
}

export type Part = 'pod' | 'full-size' | 'service' | 'node' | 'dns';

/** The checks of each pod and each node. A pod also tests the Service and the address of its own node, but not itself. */
export function planTrials(members: readonly ReadyMember[], namespace: string, without: readonly string[]): Trial[] {
  const pairs = members.flatMap((from) => members.map((to) => ({ from, to })));
  const trials = pairs.flatMap(({ from, to }) => trialsOf(from, to, namespace));
  return trials
    .filter(({ part }) => !without.includes(part))
    .map((trial, at) => ({ ...trial, check: { ...trial.check, key: `${at}` } }));
}

function trialsOf(from: ReadyMember, to: ReadyMember, namespace: string): Trial[] {
  const pair = { from: from.node.name, to: to.node.name };
  const inPod = { ...pair, where: 'pod' as const };
  const http = { kind: 'http' as const, key: '', want: to.name };
  const isOther = from.name !== to.name;
  const name = `${to.name}.${namespace}.svc`;
  return [
    ...(isOther ? to.podIps : []).flatMap((host): Trial[] => [
      { ...inPod, part: 'pod', check: { ...http, host, port: POD_PORT } },
      { ...inPod, part: 'full-size', check: { kind: 'full-size', key: '', host } },
    ]),
    { ...inPod, part: 'service', check: { ...http, host: to.serviceIp, port: SERVICE_PORT } },
    ...sharedFamily(from.podIps, to.node.addresses).map(
      (host): Trial => ({ ...inPod, part: 'node', check: { kind: 'tcp', key: '', host, port: to.node.kubeletPort } }),
    ),
    ...to.podIps.map(
      (host): Trial => ({ ...pair, where: 'node', part: 'node', check: { ...http, host, port: POD_PORT } }),
    ),
    ...(isOther
      ? []
      : [{ ...inPod, part: 'dns' as const, check: { kind: 'dns' as const, key: '', host: name, want: to.serviceIp } }]),
  ];
}

/** The addresses whose family the pod also has. */
function sharedFamily(own: readonly string[], addresses: readonly string[]): string[] {
  return addresses.filter((address) => own.some((each) => isIPv6(each) === isIPv6(address)));
}
