// Node objects as kubelets and agents write them: images, conditions, labels and flannel's annotations. An agent keeps little of
// them, but it receives and has to parse all of it.

import { ownAnnotations } from '../../flanneld/subnet/kube/annotations.ts';
import { formatPrefix } from '../../lib/ip.ts';
import { leaseOf } from '../peers/overlay.ts';

/** Images on a node. A kubelet reports at most 50 (nodeStatusMaxImages); a node with some pods has a few dozen. */
const IMAGES = 25;
/** More than the number of nodes, so that no node moves to an address that another node has had. */
const MOVE = 10_000;
const PREFIX = 'flannel.alpha.coreos.com/';

export const nodeName = (node: number): string => `node-${node}`;

/** The annotations, with their prefix, that the agent of node `node` writes after `moves` moves. */
export function annotationsOf(node: number, moves: number): Record<string, string> {
  const [, lease] = leaseOf(node + moves * MOVE);
  return Object.fromEntries([...ownAnnotations(lease)].map(([key, value]) => [PREFIX + key, value]));
}

/** The public IP of node `node` after `moves` moves. */
export function publicIpOf(node: number, moves: number): string {
  return leaseOf(node + moves * MOVE)[0];
}

/** A Node of a bare-metal cluster, with everything its kubelet reports. */
export function nodeObject(node: number): object {
  const name = nodeName(node);
  const [ip, { subnet }] = leaseOf(node);
  const podCIDR = subnet === undefined ? '' : formatPrefix(subnet);
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      labels: labelsOf(name),
      annotations: {
        ...annotationsOf(node, 0),
        'csi.volume.kubernetes.io/nodeid': JSON.stringify({ 'csi.example.org': `${name}.example.org` }),
        'node.alpha.kubernetes.io/ttl': '300',
        'volumes.kubernetes.io/controller-managed-attach-detach': 'true',
      },
    },
    spec: { podCIDR, podCIDRs: [podCIDR], providerID: `metal://rack-${node % 40}/${name}` },
    status: statusOf(name, ip, node),
  };
}

function labelsOf(name: string): Record<string, string> {
  return {
    'beta.kubernetes.io/arch': 'amd64',
    'beta.kubernetes.io/os': 'linux',
    'kubernetes.io/arch': 'amd64',
    'kubernetes.io/hostname': name,
    'kubernetes.io/os': 'linux',
    'node.kubernetes.io/instance-type': 'metal.large',
    'topology.kubernetes.io/region': 'region-1',
    'topology.kubernetes.io/zone': 'zone-a',
  };
}

function statusOf(name: string, ip: string, node: number): object {
  const capacity = { cpu: '32', 'ephemeral-storage': '479152840Ki', 'hugepages-2Mi': '0', memory: '131841180Ki' };
  return {
    addresses: [
      { type: 'InternalIP', address: ip },
      { type: 'Hostname', address: name },
    ],
    allocatable: { ...capacity, pods: '110' },
    capacity: { ...capacity, pods: '110' },
    conditions: conditions(new Date(0)),
    daemonEndpoints: { kubeletEndpoint: { Port: 10_250 } },
    images: Array.from({ length: IMAGES }, (_, image) => imageOf(image)),
    nodeInfo: {
      architecture: 'amd64',
      bootID: uuid(node),
      containerRuntimeVersion: 'containerd://1.7.24',
      kernelVersion: '6.1.0-28-amd64',
      kubeProxyVersion: 'v1.32.0',
      kubeletVersion: 'v1.32.0',
      machineID: uuid(node).replaceAll('-', ''),
      operatingSystem: 'linux',
      osImage: 'Debian GNU/Linux 12 (bookworm)',
      systemUUID: uuid(node),
    },
  };
}

/** The conditions that a kubelet writes every five minutes even when nothing has changed. */
export function conditions(heartbeat: Date): object[] {
  const times = { lastHeartbeatTime: isoSeconds(heartbeat), lastTransitionTime: isoSeconds(new Date(0)) };
  const pressure = (what: string): object => ({
    ...times,
    type: `${what}Pressure`,
    status: 'False',
    reason: `KubeletHasNo${what}Pressure`,
    message: `kubelet has no ${what.toLowerCase()} pressure`,
  });
  const ready = { type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'kubelet is posting ready status' };
  return [...['Memory', 'Disk', 'PID'].map(pressure), { ...times, ...ready }];
}

function imageOf(image: number): object {
  const repository = `registry.example.org/platform/team-${image % 5}/service-${image}`;
  const digest = image.toString(16).padStart(64, 'a');
  return { names: [`${repository}@sha256:${digest}`, `${repository}:v1.${image}.0`], sizeBytes: 40_000_000 + image };
}

function isoSeconds(date: Date): string {
  return date.toISOString().replace(/\.\d+/, '');
}

function uuid(node: number): string {
  return `5e57ab1e-0000-4000-8000-${node.toString(16).padStart(12, '0')}`;
}
