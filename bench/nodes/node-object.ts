// Node objects as kubelets and agents make them: images, conditions, labels and flannel's annotations. What an agent
// keeps of them is little; what it is sent, and has to read, is all of it.

import { ownAnnotations } from '../../flanneld/subnet/kube/annotations.ts';
import { formatPrefix } from '../../lib/ip.ts';
import { leaseOf } from '../peers/overlay.ts';

/** A kubelet reports 50 at most (nodeStatusMaxImages); nodes with work to do have tens. */
const IMAGES = 25;
/** More than there are nodes: a node that has moved has the address of none that was there. */
const MOVE = 10_000;
const PREFIX = 'flannel.alpha.coreos.com/';

export const nodeName = (node: number): string => `node-${node}`;

/** What its agent says of node `node` once it has moved `moves` times: annotations with their prefix. */
export function annotationsOf(node: number, moves: number): Record<string, string> {
  const [, lease] = leaseOf(node + moves * MOVE);
  return Object.fromEntries([...ownAnnotations(lease)].map(([key, value]) => [PREFIX + key, value]));
}

/** Where node `node` sends from once it has moved `moves` times. */
export function publicIpOf(node: number, moves: number): string {
  return leaseOf(node + moves * MOVE)[0];
}

/** A Node in a cluster on bare metal, with everything its kubelet reports. */
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

/** What a kubelet writes every five minutes, whether anything has changed or not. */
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
