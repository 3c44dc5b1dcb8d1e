// A pod, made as kubelet makes one: a sandbox with one container, which serves the pod's name.

import { randomUUID } from 'node:crypto';
import { CGROUP_PARENT } from './cgroups.ts';
import type { Containerd } from './containerd.ts';
import type { PortMapping, SandboxConfig, SandboxStatus } from './cri.ts';
import { IMAGE } from './image.ts';

export const WEB_PORT = 80;
/** How long to wait for an address that may not answer, in whole seconds. */
const TIMEOUT_S = 2;

export interface PodOptions {
  readonly portMappings?: readonly PortMapping[];
  readonly network?: 'POD' | 'NODE';
}

export class CriPod {
  readonly name: string;
  readonly id: string;
  readonly ip: string;
  readonly #containerd: Containerd;
  #container = '';

  private constructor(containerd: Containerd, name: string, id: string, ip: string) {
    this.#containerd = containerd;
    this.name = name;
    this.id = id;
    this.ip = ip;
  }

  /** Runs only the sandbox. Rejects with the runtime's error. */
  static async sandbox(containerd: Containerd, name: string, options: PodOptions = {}): Promise<CriPod> {
    const { cri } = containerd;
    const { podSandboxId: id } = await cri.call('RunPodSandbox', { config: sandboxConfig(name, options) });
    const { status } = await cri.call('PodSandboxStatus', { podSandboxId: id, verbose: false });
    return new CriPod(containerd, name, id, status.network?.ip ?? '');
  }

  static async run(containerd: Containerd, name: string, options: PodOptions = {}): Promise<CriPod> {
    const pod = await CriPod.sandbox(containerd, name, options);
    const serve = `echo ${name} >/www/index.html; exec httpd -f -p ${WEB_PORT} -h /www`;
    await pod.#startContainer(sandboxConfig(name, options), serve);
    await pod.#untilItServes();
    return pod;
  }

  async status(): Promise<SandboxStatus> {
    return await this.#containerd.cri.call('PodSandboxStatus', { podSandboxId: this.id, verbose: true });
  }

  /** Runs a command in the container and resolves whatever its exit code is. */
  async exec(...cmd: readonly string[]): Promise<{ readonly exitCode: number; readonly said: string }> {
    const request = { containerId: this.#container, cmd, timeout: 10 };
    const { stdout, stderr, exitCode } = await this.#containerd.cri.call('ExecSync', request);
    return { exitCode, said: `${stdout.toString()}${stderr.toString()}`.trim() };
  }

  /** Sends `count` pings. Rejects unless all are answered. */
  async ping(ip: string, count = 1): Promise<void> {
    const { said } = await this.exec('ping', '-c', String(count), '-i', '0.2', '-W', String(TIMEOUT_S), ip);
    if (!said.includes(' 0% packet loss')) throw new Error(`ping ${ip} from ${this.name}: ${said}`);
  }

  /** The answer that this pod gets from a web server, or the error instead. */
  async fetch(ip: string, port: number): Promise<string> {
    return (await this.exec('timeout', String(TIMEOUT_S), 'wget', '-q', '-O', '-', `http://${ip}:${port}/`)).said;
  }

  async stop(): Promise<void> {
    await this.#containerd.cri.call('StopPodSandbox', { podSandboxId: this.id });
  }

  async remove(): Promise<void> {
    await this.#containerd.cri.call('RemovePodSandbox', { podSandboxId: this.id });
  }

  async #startContainer(config: SandboxConfig, script: string): Promise<void> {
    const { cri } = this.#containerd;
    const { containerId } = await cri.call('CreateContainer', {
      podSandboxId: this.id,
      config: { metadata: { name: 'main' }, image: { image: IMAGE }, command: ['/bin/sh', '-c', script] },
      sandboxConfig: config,
    });
    await cri.call('StartContainer', { containerId });
    this.#container = containerId;
  }

  async #untilItServes(): Promise<void> {
    for (let tries = 1; (await this.fetch('127.0.0.1', WEB_PORT)) !== this.name; tries++) {
      if (tries === 50) throw new Error(`${this.name} does not serve: ${await this.fetch('127.0.0.1', WEB_PORT)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

function sandboxConfig(name: string, { portMappings = [], network = 'POD' }: PodOptions): SandboxConfig {
  return {
    metadata: { name, uid: randomUUID(), namespace: 'lab' },
    // runc refuses a host name for a pod in the node's own network namespace.
    hostname: network === 'NODE' ? '' : name,
    portMappings,
    linux: { cgroupParent: CGROUP_PARENT, securityContext: { namespaceOptions: { network } } },
  };
}
