// kubectl with the user's configuration: it knows every kind of access to a cluster.

import { spawn } from 'node:child_process';

export interface ClusterAccess {
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
}

export class Kubectl {
  readonly #flags: readonly string[];

  constructor({ kubeconfig, context }: ClusterAccess) {
    this.#flags = [
      ...(kubeconfig === undefined ? [] : [`--kubeconfig=${kubeconfig}`]),
      ...(context === undefined ? [] : [`--context=${context}`]),
    ];
  }

  /** Resolves to its stdout; rejects with the last line of its stderr. */
  async run(args: readonly string[], input = ''): Promise<string> {
    const child = spawn('kubectl', [...this.#flags, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', () => reject(new Error('no kubectl in PATH')));
      child.on('close', resolve);
    });
    if (code === 0) return stdout;
    throw new Error(`kubectl ${args.slice(0, 2).join(' ')}: ${stderr.trim().split('\n').at(-1) || `exit ${code}`}`);
  }

  async json<T>(args: readonly string[]): Promise<T> {
    return JSON.parse(await this.run([...args, '--output=json'])) as T;
  }

  async items<T>(args: readonly string[]): Promise<T[]> {
    return (await this.json<{ items: T[] }>(['get', ...args])).items;
  }

  async apply(objects: readonly object[]): Promise<void> {
    await this.run(['apply', '--filename=-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
  }
}
