// A lab node whose agent keeps its leases on an API server in this process (fake-kube.ts). A relay stands between them; while there is
// none, nobody listens at the address that the agent uses.

import type { StatusReport } from '../../flanneld/health/status/report.ts';
import { SUBNET_FILE, UNDERLAY_DEVICE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { builtAgent, requireBuilt } from '../lab/programs.ts';
import { HEALTH_FLAGS, LAUNCHER, writeLauncher } from '../lab/support/launcher-script.ts';
import { FakeKube } from './fake-kube.ts';
import { startRelay } from './netns-relay.ts';

const NET_CONF = '/run/lab/net-conf.json';

export class FakeKubeSite {
  readonly server: FakeKube;
  readonly node: LabNode;
  readonly #lab: Lab;
  readonly #url: URL;
  #stopRelay: (() => Promise<void>) | undefined;

  private constructor(server: FakeKube, lab: Lab, url: URL) {
    this.server = server;
    this.node = lab.node('node-1');
    this.#lab = lab;
    this.#url = url;
  }

  /** The agent of `node`, which is node-1, is not started and there is no relay. Register `down` where it is called. */
  static async make(): Promise<FakeKubeSite> {
    const server = await new FakeKube().start();
    const { server: url } = await server.access.prepare();
    const lab = await startLab({ nodes: 1, agent: { start: false, file: LAUNCHER, readyTimeoutMs: 60_000 } });
    const site = new FakeKubeSite(server, lab, url);
    site.node.writeFile(NET_CONF, '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}');
    const store = ['--kube-subnet-mgr', `--kube-api-url=${url.origin}`, '--node-name=node-1'];
    const files = [`--net-config-path=${NET_CONF}`, `--subnet-file=${SUBNET_FILE}`];
    const argv = [requireBuilt(builtAgent), ...store, ...files, `--iface=${UNDERLAY_DEVICE}`, ...HEALTH_FLAGS];
    writeLauncher(site.node, argv);
    return site;
  }

  /** Makes the server reachable from the node. */
  async connect(): Promise<void> {
    this.#stopRelay = await startRelay(this.node.pid, this.#url);
  }

  async disconnect(): Promise<void> {
    await this.#stopRelay?.();
    this.#stopRelay = undefined;
  }

  /** `flanneld status` on the node, as text and as JSON. */
  async status(): Promise<{ exitCode: number | null; text: string; report: StatusReport }> {
    const argv = [process.execPath, builtAgent, 'status', `--subnet-file=${SUBNET_FILE}`];
    const [text, json] = [await this.node.exec(argv), await this.node.exec([...argv, '--json'])];
    return { exitCode: text.exitCode, text: text.stdout, report: JSON.parse(json.stdout) as StatusReport };
  }

  async down(): Promise<void> {
    await this.disconnect();
    await this.#lab.down();
    await this.server.stop();
  }
}
