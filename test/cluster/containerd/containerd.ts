// A containerd inside a lab node: writes its configuration, starts it, kills it.

import { existsSync } from 'node:fs';
import { CNI_BIN_FOLDER, CONFLIST_FOLDER } from '../../lab/contract.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { waitUntil } from '../../lab/processes.ts';
import { mountCgroups } from './cgroups.ts';
import { type CriClient, openCri } from './cri.ts';
import { IMAGE } from './image.ts';

const SOCKET = '/run/containerd/containerd.sock';
const LOG = '/run/containerd.log';
const CONFIG_FILE = '/etc/containerd/config.toml';
const START_LIMIT_MS = 20_000;

// containerd's state is on tmpfs, because the node's disk is an overlay, on which another overlay is not possible. OOM scores are
// not lowered, because root in a container or a small virtual machine may lack the capability for that.
const config = `version = 2
root = "/run/containerd-root"
state = "/run/containerd"
[grpc]
  address = "${SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${CNI_BIN_FOLDER}"
    conf_dir = "${CONFLIST_FOLDER}"
`;

export class Containerd {
  readonly node: LabNode;
  readonly cri: CriClient;
  #pid = '';

  private constructor(node: LabNode) {
    this.node = node;
    this.cri = openCri(node.pathFromOutside(SOCKET));
  }

  /** Starts a containerd on a node that has none. */
  static async make(node: LabNode): Promise<Containerd> {
    await mountCgroups(node);
    node.writeFile(CONFIG_FILE, config);
    const containerd = new Containerd(node);
    await containerd.start();
    return containerd;
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    const script = `setsid containerd --config ${CONFIG_FILE} >>${LOG} 2>&1 </dev/null & echo $!`;
    this.#pid = (await this.node.run(['sh', '-c', script])).trim();
    const answers = (): Promise<boolean> =>
      this.cri.call('Version', { version: 'v1' }).then(
        () => true,
        () => false,
      );
    try {
      await waitUntil(answers, START_LIMIT_MS, `containerd on ${this.node.name}`);
    } catch (error) {
      throw new Error(`${String(error)}\n${this.log().slice(-2000)}`);
    }
  }

  /** Kills it by SIGKILL and resolves when it is gone. Its containers go on running. */
  async kill(): Promise<void> {
    await this.node.run(['kill', '-9', this.#pid]);
    const isGone = (): boolean => !existsSync(this.node.pathFromOutside(`/proc/${this.#pid}/exe`));
    await waitUntil(isGone, 5000, `end of containerd on ${this.node.name}`);
  }

  async importImage(file: string): Promise<void> {
    await this.node.run(['ctr', '--address', SOCKET, '--namespace', 'k8s.io', 'images', 'import', file]);
  }

  log(): string {
    return this.node.readFile(LOG);
  }

  /** containerd's network condition: whether pods can be started and, if not, why. */
  async network(): Promise<{ readonly ready: boolean; readonly message: string }> {
    const { status } = await this.cri.call('Status', { verbose: false });
    const condition = status.conditions.find(({ type }) => type === 'NetworkReady');
    return { ready: condition?.status === true, message: condition?.message ?? '' };
  }
}
