// The site of the faults: a lab of two nodes that each have an agent and a pod. The faults happen on node 1; node 2 is its peer.

import { setTimeout as sleep } from 'node:timers/promises';
import { formatIp, formatPrefix } from '../../lib/ip.ts';
import { listRoutes } from '../../lib/rtnetlink/route.ts';
import { UNDERLAY_GATEWAY } from '../lab/host/underlay.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { slowed } from '../support/slowness.ts';
import { DEVICE, dataPlaneFaults, firewallFaults, netnsOf, ownLease, withNetlink } from './node-check.ts';
import { type Flow, startFlow } from './probe/flow.ts';
import type { FlowEnd, FlowOptions } from './probe/spec.ts';

/** Which packets are counted: between pods; from a pod to outside (masqueraded); or from the node itself to a pod. */
export type Path = 'pods' | 'outside' | 'node';

/** The time between checks. More frequent checks would take processor time from the agent. */
const LOOK_MS = slowed(5);

export interface PeerFacts {
  /** The peer's subnet, such as `10.244.2.0/24`. This, its first address, MAC and underlay address are as in node 1's kernel. */
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

  /** Starts the site. `agentFile` is an executable to use instead of dist/flanneld. */
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

  /** Starts a flow of a thousand packets a second along `path`. */
  async flow(path: Path, options: FlowOptions = {}): Promise<Flow> {
    const node = { netnsFromOutside: netnsOf(this.node), ip: this.node.address };
    const outside: FlowEnd = { netnsFromOutside: `/proc/${this.lab.pid}/ns/net`, ip: UNDERLAY_GATEWAY };
    switch (path) {
      case 'pods':
        return await startFlow(this.pod, this.peerPod, options);
      case 'outside':
        // Each packet has another port, because conntrack goes on translating a known flow even when the rules are gone.
        return await startFlow(this.pod, outside, { freshPorts: true, expectSource: this.node.address, ...options });
      case 'node':
        return await startFlow(node, this.peerPod, { expectSource: this.ownBase, ...options });
    }
  }

  /** What is wrong on node 1. The firewall is checked only when the rest is right. */
  async faults(): Promise<string[]> {
    const faults = await dataPlaneFaults(this.lab, this.node);
    return faults.length > 0 ? faults : await firewallFaults(this.lab, this.node);
  }

  /** Resolves when nothing is wrong. After `timeoutMs`, rejects with what is. */
  async untilWhole(timeoutMs: number): Promise<void> {
    const limitMs = slowed(timeoutMs);
    const deadline = performance.now() + limitMs;
    for (;;) {
      const faults = await this.faults();
      if (faults.length === 0) return;
      if (performance.now() > deadline) throw new Error(`not healed after ${limitMs} ms: ${faults.join('; ')}`);
      await sleep(LOOK_MS);
    }
  }

  /** Runs commands with `ip -batch` on node 1. */
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
