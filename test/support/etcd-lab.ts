// A lab whose nodes share a real etcd, as flannel's agent needs it. Either agent can be started on each node.

import { makeEtcdSite } from '../cluster/stores/etcd-site.ts';
import { SUBNET_FILE, UNDERLAY_DEVICE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { HEALTH_FLAGS, LAUNCHER, writeLauncher } from '../lab/support/launcher-script.ts';
import { type EtcdCluster, startEtcd } from './etcd.ts';
import { startRelay } from './netns-relay.ts';

const READY_MS = 60_000;

export interface EtcdLab {
  readonly lab: Lab;
  readonly site: Awaited<ReturnType<typeof makeEtcdSite>>;
  /** Starts an agent on the node, after the running one has ended. */
  run(node: LabNode, program: string): Promise<void>;
  down(): Promise<void>;
}

/** Starts two nodes without agents. `netConf` is the network configuration. */
export async function startEtcdLab(netConf: object): Promise<EtcdLab> {
  const etcd: EtcdCluster = await startEtcd({ members: 1 });
  const endings: (() => Promise<void>)[] = [() => etcd.stop()];
  const down = async (): Promise<void> => {
    for (const end of endings.splice(0).reverse()) await end();
  };
  try {
    const [url] = etcd.endpoints;
    if (url === undefined) throw new Error('etcd has no endpoint');
    const site = await makeEtcdSite(etcd, netConf);
    const lab = await startLab({ nodes: 2, agent: { start: false, file: LAUNCHER, readyTimeoutMs: READY_MS } });
    endings.push(() => lab.down());
    // These end before the lab: a relay's process holds its node's network, and the lab waits until that is gone.
    for (const node of lab.nodes) endings.push(await startRelay(node.pid, url));
    const store = [`--etcd-endpoints=${url.origin}`, `--etcd-prefix=${site.prefix}`];
    const flags = [
      ...store,
      `--iface=${UNDERLAY_DEVICE}`,
      `--subnet-file=${SUBNET_FILE}`,
      '--ip-masq',
      ...HEALTH_FLAGS,
    ];
    const run = async (node: LabNode, program: string): Promise<void> => {
      await node.agent.stop();
      writeLauncher(node, [program, ...flags]);
      await node.agent.start();
      await node.agent.ready();
    };
    return { lab, site, run, down };
  } catch (error) {
    await down();
    throw error;
  }
}
