// Where faults happen: a lab of two nodes with an agent and a pod each. Node 1 suffers, node 2 is its peer.

import { setTimeout as sleep } from 'node:timers/promises';
import { formatIp, formatPrefix } from '../../lib/ip.ts';
import { listRoutes } from '../../lib/rtnetlink/route.ts';
import { UNDERLAY_GATEWAY } from '../lab/host/underlay.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { type Flow, startFlow } from '../probe/flow.ts';
import type { FlowEnd, FlowOptions } from '../probe/spec.ts';
import { DEVICE, dataPlaneFaults, firewallFaults, netnsOf, ownLease, withNetlink } from './node-check.ts';

/** What packets are counted: between pods; from a pod to outside, masqueraded; from the node itself to a pod. */
export type Path = 'pods' | 'outside' | 'node';

/** Looking more often would take the processor from the agent. */
const LOOK_MS = 5;

export interface PeerFacts {
  /** `10.244.2.0/24`, its first address, the peer's MAC and underlay address as node 1's kernel has them. */
  readonly subnet: string;
  readonly base: string;
  readonly mac: string;
  readonly address: string;
  readonly nexthopId: number;
}

export class Site {
  readonly lab: Lab;
  readonly node: LabNode;
  readonly pod: LabPod;
  readonly peerNode: LabNode;
  readonly peerPod: LabPod;
  readonly peer: PeerFacts;
  /** Address of node 1 on its VXLAN device. */
  readonly ownBase: string;

  private constructor(lab: Lab, pods: readonly [LabPod, LabPod], peer: PeerFacts, ownBase: string) {
    this.lab = lab;
    this.node = lab.node('node-1');
    this.peerNode = lab.node('node-2');
    [this.pod, this.peerPod] = pods;
    this.peer = peer;
    this.ownBase = ownBase;
  }

  /** `agentFile`: instead of dist/flanneld. */
  static async make(agentFile?: string): Promise<Site> {
    const lab = await startLab({ nodes: 2, ...(agentFile === undefined ? {} : { agent: { file: agentFile } }) });
    try {
      const [node, peerNode] = [lab.node('node-1'), lab.node('node-2')];
      const pods = [await node.addPod(), await peerNode.addPod()] as const;
      const { subnet: ownSubnet } = await ownLease(lab, node);
      const { subnet, publicIp, mac } = await ownLease(lab, peerNode);
      const text = formatPrefix(subnet);
      const nexthopId = await withNetlink(node, (netlink) =>
        Promise.resolve(listRoutes(netlink, { family: 4 }).find((route) => formatPrefix(route.destination) === text)),
      ).then((route) => route?.nexthopId ?? 0);
      const peer = { subnet: text, base: formatIp(subnet.ip), mac, address: formatIp(publicIp), nexthopId };
      return new Site(lab, pods, peer, formatIp(ownSubnet.ip));
    } catch (error) {
      await lab.down();
      throw error;
    }
  }

  /** Packets along `path`, a thousand a second. */
  async flow(path: Path, options: FlowOptions = {}): Promise<Flow> {
    const node = { netnsFromOutside: netnsOf(this.node), ip: this.node.address };
    const outside: FlowEnd = { netnsFromOutside: `/proc/${this.lab.pid}/ns/net`, ip: UNDERLAY_GATEWAY };
    switch (path) {
      case 'pods':
        return await startFlow(this.pod, this.peerPod, options);
      case 'outside':
        // A port of its own for each packet: conntrack remembers how it translated a flow, rules or no rules.
        return await startFlow(this.pod, outside, { freshPorts: true, expectSource: this.node.address, ...options });
      case 'node':
        return await startFlow(node, this.peerPod, { expectSource: this.ownBase, ...options });
    }
  }

  /** What is not as it should be on node 1; the firewall is looked at only when the rest is right. */
  async faults(): Promise<string[]> {
    const faults = await dataPlaneFaults(this.lab, this.node);
    return faults.length > 0 ? faults : await firewallFaults(this.lab, this.node);
  }

  /** Resolves when everything is as it should be; rejects with what is not after `timeoutMs`. */
  async untilWhole(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const faults = await this.faults();
      if (faults.length === 0) return;
      if (performance.now() > deadline) throw new Error(`not healed after ${timeoutMs} ms: ${faults.join('; ')}`);
      await sleep(LOOK_MS);
    }
  }

  /** Commands for `ip -batch` on node 1. */
  async ip(...commands: string[]): Promise<void> {
    await this.node.run(['ip', '-batch', '-'], { input: `${commands.join('\n')}\n` });
  }

  async bridge(...words: string[]): Promise<void> {
    await this.node.run(['bridge', ...words]);
  }

  async nft(script: string): Promise<void> {
    await this.node.run(['nft', '-f', '-'], { input: script });
  }

  get device(): string {
    return DEVICE;
  }
}
