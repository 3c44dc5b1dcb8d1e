// A cluster for `kubectl weft` without kubelets: a real kube-apiserver, lab nodes with the built agent, and objects that say that each
// agent is a pod of a DaemonSet. A stand-in answers kube-apiserver's requests to a kubelet and executes them in the node.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommandResult } from '../../lab/command.ts';
import { type Lab, type LabOptions, startLab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { nodeSpec } from '../../lab/node-spec.ts';
import { builtAgent, repositoryRoot, requireBuilt } from '../../lab/programs.ts';
import { makeAuthority, makeCertificate } from '../../support/certificates.ts';
import { type KubeApiserver, startKubeApiserver } from '../../support/kube-apiserver.ts';
import { type PodName, type StandInKubelet, startStandInKubelet } from '../../support/stand-in-kubelet.ts';
import { StandInPods } from './stand-in-pods.ts';

const NAMESPACE = 'weft';
const IMAGE = 'weft:0.1.0';
const AGENT = '/opt/weft/flanneld';
const STATUS = 'application/merge-patch+json';

/** The program that the build makes. */
export const builtPlugin = join(repositoryRoot, 'dist/kubectl-weft');

/** Undefined: the pod is one of the lab's. */
type Executor = (pod: string, argv: readonly string[]) => Promise<CommandResult | undefined>;

/** Runs the built plugin as kubectl does, in a folder; resolves however it ends. */
export function runPlugin(server: KubeApiserver, cwd: string, args: readonly string[]): Promise<PluginRun> {
  const options = { env: { ...process.env, KUBECONFIG: server.adminKubeconfig }, cwd };
  return new Promise((resolve) => {
    execFile(process.execPath, [requireBuilt(builtPlugin), ...args], options, (error, stdout, stderr) => {
      resolve({ exitCode: error === null ? 0 : error.code, stdout, stderr });
    });
  });
}

export interface PluginRun {
  readonly exitCode: unknown;
  readonly stdout: string;
  readonly stderr: string;
}

export class PluginScene {
  readonly server: KubeApiserver;
  readonly lab: Lab;
  readonly folder: string;
  readonly pods: StandInPods;
  readonly #kubelet: StandInKubelet;

  private constructor(server: KubeApiserver, lab: Lab, folder: string, pods: StandInPods, kubelet: StandInKubelet) {
    this.server = server;
    this.lab = lab;
    this.folder = folder;
    this.pods = pods;
    this.#kubelet = kubelet;
  }

  /** `other` answers requests about pods on nodes that are not in the lab. */
  static async start(options: LabOptions, other?: Executor): Promise<PluginScene> {
    const folder = mkdtempSync(join(tmpdir(), 'weft-plugin-'));
    const server = await startKubeApiserver();
    const lab = await startLab(options);
    const certificate = await makeCertificate(folder, await makeAuthority(folder), 'kubelet');
    const pods = new StandInPods(server, lab, /^weft-connectivity-/);
    const exec = async ({ namespace, pod }: PodName, argv: readonly string[]): Promise<CommandResult> =>
      (await pods.exec(namespace, pod, argv)) ??
      (await other?.(pod, argv)) ??
      (await nodeOfPod(lab, pod).exec(inLab(argv), { timeoutMs: 120_000 }));
    const logs = ({ pod }: PodName): string => nodeOfPod(lab, pod).agent.log();
    const scene = new PluginScene(server, lab, folder, pods, await startStandInKubelet({ certificate, exec, logs }));
    await scene.#writeObjects();
    return scene;
  }

  async stop(): Promise<void> {
    await this.pods.stop();
    await this.#kubelet.close();
    await this.lab.down();
    await this.server.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Runs the built plugin as kubectl does. */
  async weft(args: readonly string[]): Promise<PluginRun> {
    return await runPlugin(this.server, this.folder, args);
  }

  async addNodeObject(name: string, address: string): Promise<void> {
    const { must } = this.server;
    await must({ path: '/api/v1/nodes', body: { metadata: { name, labels: { 'kubernetes.io/os': 'linux' } } } });
    const status = {
      // kube-apiserver prefers the Hostname, where the stand-in listens.
      addresses: [
        { type: 'Hostname', address: '127.0.0.1' },
        { type: 'InternalIP', address },
      ],
      daemonEndpoints: { kubeletEndpoint: { Port: this.#kubelet.port } },
      conditions: [{ type: 'Ready', status: 'True' }],
    };
    await must({ method: 'PATCH', path: `/api/v1/nodes/${name}/status`, body: { status }, contentType: STATUS });
  }

  /** Reports for a pod, as a kubelet does, that its container runs, or why it does not. */
  async setPodState(pod: string, state: object): Promise<void> {
    const status = { phase: 'Running', containerStatuses: [{ name: 'flanneld', image: '', imageID: '', state }] };
    const path = `/api/v1/namespaces/${NAMESPACE}/pods/${pod}/status`;
    await this.server.must({ method: 'PATCH', path, body: { status }, contentType: STATUS });
  }

  async #writeObjects(): Promise<void> {
    const { must } = this.server;
    const labels = { 'app.kubernetes.io/name': 'weft' };
    await must({ path: '/api/v1/namespaces', body: { metadata: { name: NAMESPACE } } });
    const account = { metadata: { name: 'default' } };
    await this.server.call({ path: `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`, body: account });
    const template = { metadata: { labels }, spec: podSpec(['--ip-masq']) };
    const body = { metadata: { name: 'weft' }, spec: { selector: { matchLabels: labels }, template } };
    await must({ path: `/apis/apps/v1/namespaces/${NAMESPACE}/daemonsets`, body });
    for (const node of this.lab.nodes) {
      await this.addNodeObject(node.name, node.address);
      const [, ...flags] = nodeSpec(node.index, {}).agent?.argv ?? [];
      await this.addAgentPod(node.name, flags);
    }
  }

  /** The pod `weft-NODE`, whose container runs. */
  async addAgentPod(node: string, args: readonly string[]): Promise<void> {
    const labels = { 'app.kubernetes.io/name': 'weft' };
    const spec = { ...podSpec(args), nodeName: node };
    const body = { metadata: { name: podName(node), labels }, spec };
    await this.server.must({ path: `/api/v1/namespaces/${NAMESPACE}/pods`, body });
    await this.setPodState(podName(node), { running: {} });
  }
}

export function podName(node: string): string {
  return `weft-${node}`;
}

function podSpec(args: readonly string[]): object {
  const container = { name: 'flanneld', image: IMAGE, command: [AGENT], args };
  return { containers: [container], automountServiceAccountToken: false, hostNetwork: true };
}

function nodeOfPod(lab: Lab, pod: string): LabNode {
  // A Job gives its pod's name five letters of its own.
  return lab.node(pod.replace(/^weft-/, '').replace(/^preflight-(.*)-[a-z0-9]{5}$/, '$1'));
}

/** The programs of the image are elsewhere in a lab node. */
function inLab([program = '', ...args]: readonly string[]): string[] {
  if (program === AGENT) return [builtAgent, ...args];
  return [program === 'node' ? process.execPath : program, ...args];
}
