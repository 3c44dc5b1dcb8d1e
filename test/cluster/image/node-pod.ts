// A pod of the manifests on a lab node, run as kubelet runs it: volumes, sandbox, containers, probe, restart, end.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LabNode } from '../../lab/lab-node.ts';
import { waitUntil } from '../../lab/processes.ts';
import type { Containerd } from '../containerd/containerd.ts';
import type { SandboxConfig } from '../containerd/cri.ts';
import type { Container, KubeObject, PodSpec } from '../manifests/documents.ts';
import { containerRequest, type PodPlace, sandboxRequest } from './pod-requests.ts';

const KUBELET_FOLDER = '/run/kubelet';
const READY_MS = 40_000;
const END_MS = 30_000;
/**
 * Requests a page and prints its status and text. It is needed because a node may have no curl. Made with node:http and not with fetch,
 * which can end without a word when the agent dies during the answer.
 */
const FETCH = `const said = (status, text) => { console.log(JSON.stringify({ status, text })); process.exit(); };
  require('http').get(process.argv[1], { timeout: 5000 }, (answer) => {
    let text = '';
    answer.setEncoding('utf8').on('data', (part) => { text += part; });
    answer.on('end', () => said(answer.statusCode, text)).on('close', () => said(0, 'the answer was cut off'));
  }).on('timeout', () => said(0, 'no answer within 5 s')).on('error', (error) => said(0, String(error)));`;

/** What a node knows about its cluster. */
export interface ClusterFiles {
  readonly configMaps: readonly KubeObject[];
  readonly env: Readonly<Record<string, string>>;
  /** The contents of the folder of the service account's token. */
  readonly account: Readonly<Record<string, string>>;
}

export interface ContainerState {
  readonly state: string;
  readonly exitCode: number;
  /** The pid inside the node; 0 when the container does not run. */
  readonly pid: number;
}

let podsMade = 0;

export class NodePod {
  readonly spec: PodSpec;
  readonly #containerd: Containerd;
  readonly #config: SandboxConfig;
  readonly #place: PodPlace;
  readonly #sandbox: string;
  #container = '';
  #log = '';
  #attempt = -1;

  private constructor(containerd: Containerd, spec: PodSpec, config: SandboxConfig, place: PodPlace, sandbox: string) {
    this.#containerd = containerd;
    this.spec = spec;
    this.#config = config;
    this.#place = place;
    this.#sandbox = sandbox;
  }

  /** Starts the pod's sandbox and its first container. Rejects with the runtime's error. */
  static async start(containerd: Containerd, spec: PodSpec, cluster: ClusterFiles): Promise<NodePod> {
    podsMade += 1;
    const name = `agent-${podsMade}`;
    const folder = `${KUBELET_FOLDER}/${name}`;
    const place = preparePlace(containerd.node, spec, cluster, folder);
    const config = sandboxRequest(name, spec, `${folder}/logs`);
    const { podSandboxId } = await containerd.cri.call('RunPodSandbox', { config });
    const pod = new NodePod(containerd, spec, config, place, podSandboxId);
    const [first] = [...(spec.initContainers ?? []), ...spec.containers];
    if (first === undefined) throw new Error('the pod has no container');
    await pod.startContainer(first);
    return pod;
  }

  get node(): LabNode {
    return this.#containerd.node;
  }

  /** Starts `container`, or the same container once more, in the existing sandbox. */
  async startContainer(container: Container): Promise<void> {
    const { cri } = this.#containerd;
    this.#attempt += 1;
    const config = containerRequest(this.spec, container, this.#place, this.#attempt);
    const request = { podSandboxId: this.#sandbox, config, sandboxConfig: this.#config };
    const { containerId } = await cri.call('CreateContainer', request);
    await cri.call('StartContainer', { containerId });
    this.#container = containerId;
    this.#log = `${this.#config.logDirectory}/${config.logPath}`;
  }

  async state(): Promise<ContainerState> {
    const request = { containerId: this.#container, verbose: true };
    const { status, info } = await this.#containerd.cri.call('ContainerStatus', request);
    const { pid = 0 } = JSON.parse(info['info'] ?? '{}') as { pid?: number };
    return { state: status.state, exitCode: status.exitCode, pid };
  }

  async isRunning(): Promise<boolean> {
    return (await this.state()).state === 'CONTAINER_RUNNING';
  }

  /** Resolves with the container's exit code when it ends. */
  async ended(): Promise<number> {
    await waitUntil(async () => !(await this.isRunning()), END_MS, `end of ${this.#config.metadata.name}`);
    return (await this.state()).exitCode;
  }

  /** Runs a program in the container. Resolves whatever its exit code is. */
  async exec(...cmd: readonly string[]): Promise<{ readonly exitCode: number; readonly said: string }> {
    const request = { containerId: this.#container, cmd, timeout: 20 };
    const { stdout, stderr, exitCode } = await this.#containerd.cri.call('ExecSync', request);
    return { exitCode, said: `${stdout.toString()}${stderr.toString()}`.trim() };
  }

  /** The whole page of the container's readiness probe; status 0 when nobody listens. */
  async readiness(): Promise<{ readonly status: number; readonly text: string }> {
    const probe = this.spec.containers[0]?.readinessProbe?.httpGet;
    if (probe === undefined) throw new Error('the pod has no readiness probe');
    const url = `http://${probe.host}:${probe.port}${probe.path}?verbose`;
    return JSON.parse(await this.node.run([process.execPath, '-e', FETCH, url]));
  }

  /** Resolves when the readiness probe succeeds. Rejects with the container's log when the container ends or takes too long. */
  async ready(): Promise<void> {
    try {
      await waitUntil(
        async () => (await this.readiness()).status === 200 || !(await this.isRunning()),
        READY_MS,
        'the readiness probe',
      );
    } catch (error) {
      throw new Error(`${String(error)}\n${(await this.readiness()).text}\n${this.log()}`);
    }
    if (!(await this.isRunning())) throw new Error(`the container ended: ${this.log()}`);
  }

  /** Returns what the running container has written so far. */
  log(): string {
    // Each line begins with a time, the stream, and a letter that says whether the line is complete.
    return this.node.readFile(this.#log).replace(/^\S+ \S+ \S /gm, '');
  }

  /**
   * Ends the pod as kubelet does when the API server deletes it: SIGTERM, then the pod's grace period, then everything is removed.
   */
  async end(): Promise<void> {
    const { cri } = this.#containerd;
    const timeout = this.spec.terminationGracePeriodSeconds ?? 30;
    await cri.call('StopContainer', { containerId: this.#container, timeout });
    await cri.call('StopPodSandbox', { podSandboxId: this.#sandbox });
    await cri.call('RemovePodSandbox', { podSandboxId: this.#sandbox });
  }
}

/** Makes the pod's volumes in the node's folders. */
function preparePlace(node: LabNode, spec: PodSpec, cluster: ClusterFiles, folder: string): PodPlace {
  const write = (path: string, files: Readonly<Record<string, string>>): string => {
    const outside = node.pathFromOutside(path);
    mkdirSync(outside, { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(outside, name), text);
    return path;
  };
  write(`${folder}/logs`, {});
  const volumes = spec.volumes.map(({ name, hostPath, configMap }): [string, string] => {
    if (hostPath?.type === 'Directory') return [name, hostPath.path];
    if (hostPath?.type === 'DirectoryOrCreate') return [name, write(hostPath.path, {})];
    if (hostPath?.type === 'FileOrCreate') {
      writeFileSync(node.pathFromOutside(hostPath.path), '', { flag: 'a' });
      return [name, hostPath.path];
    }
    const map = cluster.configMaps.find(({ metadata }) => metadata.name === configMap?.name);
    if (map?.data === undefined) throw new Error(`volume ${name}: neither a path of the host to make nor a ConfigMap`);
    return [name, write(`${folder}/volumes/${name}`, map.data)];
  });
  const wantsAccount = spec.automountServiceAccountToken !== false;
  return {
    nodeName: node.name,
    volumes: new Map(volumes),
    account: wantsAccount ? write(`${folder}/account`, cluster.account) : undefined,
    env: cluster.env,
  };
}
