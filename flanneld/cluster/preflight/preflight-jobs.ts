// The Jobs whose pods execute `flanneld preflight` for `kubectl weft preflight`, one for each node. A Job removes itself and its pod even
// if the plugin was killed. Pure functions.

import type { ClusterNode } from '../ask/agents.ts';

const PREFLIGHT_LABEL = { 'app.kubernetes.io/name': 'weft-preflight' };
/** A Job ends after this time and is then removed, even if the plugin does not do it. */
const JOB_SECONDS = 600;
/** The folder in the pod that has the host's /etc. */
const HOST_ROOT = '/host';
/** How many other nodes each node tries the packet size with. */
const NEIGHBOURS = 4;

export function preflightJobName(node: string): string {
  return `weft-preflight-${node}`;
}

/** The pod has the node's network and processes and the agent's one capability, so it sees what the agent would see. It changes no file. */
export function preflightJob(node: string, image: string): object {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: preflightJobName(node), labels: PREFLIGHT_LABEL },
    spec: {
      backoffLimit: 0,
      activeDeadlineSeconds: JOB_SECONDS,
      ttlSecondsAfterFinished: 0,
      template: { metadata: { labels: PREFLIGHT_LABEL }, spec: podSpec(node, image) },
    },
  };
}

function podSpec(node: string, image: string): object {
  return {
    nodeName: node,
    hostNetwork: true,
    hostPID: true,
    tolerations: [{ operator: 'Exists' }],
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    restartPolicy: 'Never',
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: 'preflight',
        image,
        imagePullPolicy: 'IfNotPresent',
        command: ['node', '-e', `setTimeout(() => {}, ${JOB_SECONDS * 1000})`],
        resources: { requests: { cpu: '5m', memory: '32Mi' } },
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] },
          seccompProfile: { type: 'RuntimeDefault' },
        },
        volumeMounts: [{ name: 'etc', mountPath: `${HOST_ROOT}/etc`, readOnly: true }],
      },
    ],
    volumes: [{ name: 'etc', hostPath: { path: '/etc' } }],
  };
}

/** The command, with addresses of the next nodes in the list, so that each node is also tried by others. */
export function preflightCommand(node: ClusterNode, nodes: readonly ClusterNode[]): string[] {
  const at = nodes.indexOf(node);
  const others = [...nodes.slice(at + 1), ...nodes.slice(0, Math.max(at, 0))].slice(0, NEIGHBOURS);
  const addresses = others.flatMap((other) => other.addresses.slice(0, 1));
  const flags = ['--json', `--node-name=${node.name}`, `--host-root=${HOST_ROOT}`];
  return ['/opt/weft/flanneld', 'preflight', ...flags, `--cni-conf-dir=${HOST_ROOT}/etc/cni/net.d`, ...addresses];
}
