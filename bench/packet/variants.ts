// The ways to attach the pods: Weft, and the references that it is compared with. All work on one node with one bridge and one address
// store, each with the programs of its own folder.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatPrefix, type IpPrefix, networkOf, parsePrefix } from '../../lib/ip.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import type { JsonObject } from '../../test/lab/cni/conflist.ts';
import type { PluginRun } from '../../test/lab/cni/invoke.ts';
import { SUBNET_FILE } from '../../test/lab/contract.ts';
import type { LabNode } from '../../test/lab/lab-node.ts';
import type { Reference } from '../cni/references.ts';
import type { Setting } from '../cni/setting.ts';
import { attachBare, detachBare } from './bare.ts';

/** What was done to attach a pod. */
export interface Attached {
  readonly t0: number | undefined;
  readonly t5: number | undefined;
  readonly plugins: readonly Pick<PluginRun, 'type' | 'startNs' | 'endNs'>[];
  /** Detaches the pod and removes its namespace. */
  remove(): Promise<void>;
}

export interface Variant {
  /** The variant's part of the figures' keys. */
  readonly key: string;
  readonly name: string;
  /** Whether it executes a program, which a trace can follow. */
  readonly executes: boolean;
  /** Attaches an existing namespace of the node. After a failure nothing is left, and the namespace is gone too. */
  attach(name: string, netns: string): Promise<Attached>;
}

const NETWORK = 'cbr0';
const MTU_BYTES = 1450;
const WEFT = { key: 'weft', name: 'weft' };

/** Weft as it runs on a node: with the agent's conflist, which ends with portmap. */
export function shippedVariant(node: LabNode): Variant {
  return { ...WEFT, executes: true, attach: (name, netns) => attachByConflist(node, { name, netns }) };
}

/** Folders with the programs to copy. A variant whose folder is undefined is left out. */
export interface Programs {
  readonly weft: Reference;
  readonly floor: Reference | undefined;
  readonly debian: Reference | undefined;
  readonly chain: Reference | undefined;
}

/** All variants, Weft first. The node must already have a pod, because the C floor creates no bridge. */
export function comparedVariants(node: LabNode, setting: Setting, programs: Programs): Variant[] {
  const subnet = subnetOf(node);
  const flannel = { type: 'flannel', delegate: { hairpinMode: true, isDefaultGateway: true } };
  const floor = { ...flannel, type: 'floor', subnetFile: SUBNET_FILE };
  const plugins = [
    { ...WEFT, from: programs.weft, files: ['flannel'], conf: flannel },
    {
      key: 'chain',
      name: 'flannel chain',
      from: programs.chain,
      files: ['flannel', 'bridge', 'host-local'],
      conf: flannel,
    },
    {
      key: 'debian',
      name: 'bridge + host-local',
      from: programs.debian,
      files: ['bridge', 'host-local'],
      conf: bridgeConf(subnet),
    },
    { key: 'floor', name: 'C floor', from: programs.floor, files: ['floor'], conf: floor },
  ];
  const copied = plugins.flatMap(({ from, files, conf, ...told }) => {
    if (from === undefined) return [];
    for (const file of files) setting.addProgram(told.key, file, join(from.folder, file));
    return [pluginVariant(node, told, join(setting.scratch, 'bin', told.key), conf)];
  });
  return [...copied, bareVariant(node, subnet)];
}

function pluginVariant(
  node: LabNode,
  { key, name }: Pick<Variant, 'key' | 'name'>,
  folder: string,
  conf: JsonObject,
): Variant {
  const conflist = JSON.stringify({ cniVersion: '0.3.1', name: NETWORK, plugins: [conf] });
  return {
    key,
    name,
    executes: true,
    attach: (pod, netns) => attachByConflist(node, { name: pod, netns, conflist, cniPath: [folder] }),
  };
}

/** The configuration that flannel generates for bridge and host-local. */
function bridgeConf(subnet: IpPrefix): JsonObject {
  return {
    type: 'bridge',
    mtu: MTU_BYTES,
    hairpinMode: true,
    ipMasq: false,
    isGateway: true,
    isDefaultGateway: true,
    ipam: {
      type: 'host-local',
      ranges: [[{ subnet: formatPrefix(networkOf(subnet)) }]],
      routes: [{ dst: '10.244.0.0/16' }],
    },
  };
}

async function attachByConflist(node: LabNode, request: Parameters<LabNode['addPod']>[0]): Promise<Attached> {
  const pod = await node.addPod(request);
  const plugins = pod.timings.runs.map(({ type, startNs, endNs }) => ({ type, startNs, endNs }));
  const remove = async (): Promise<void> => void (await pod.remove());
  return { t0: plugins[0]?.startNs, t5: plugins.at(-1)?.endNs, plugins, remove };
}

function bareVariant(node: LabNode, subnet: IpPrefix): Variant {
  const sys = openKoffiSyscalls();
  const nodePath = `/proc/${node.pid}/ns/net`;
  const removeNetns = (netns: string) => node.run(['ip', 'netns', 'delete', netns.slice(netns.lastIndexOf('/') + 1)]);
  return {
    key: 'bare',
    name: 'bare netns + veth',
    executes: false,
    async attach(_name, netns) {
      const remove = async (): Promise<void> => {
        detachBare(sys, nodePath);
        await removeNetns(netns);
      };
      try {
        const { startNs, endNs } = attachBare(sys, nodePath, node.pathFromOutside(netns), subnet);
        return { t0: startNs, t5: endNs, plugins: [], remove };
      } catch (error) {
        await remove();
        throw error;
      }
    },
  };
}

function subnetOf(node: LabNode): IpPrefix {
  const text = /^FLANNEL_SUBNET=(\S+)$/m.exec(readFileSync(node.pathFromOutside(SUBNET_FILE), 'utf8'))?.[1];
  if (text === undefined) throw new Error(`no FLANNEL_SUBNET in ${SUBNET_FILE} of ${node.name}`);
  return parsePrefix(text);
}
