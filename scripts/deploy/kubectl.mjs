// kubectl with the user's configuration: it knows every kind of access to a cluster. All answers are requested as JSON, and objects are
// applied from stdin.

import { spawn } from 'node:child_process';
import { isOnPath } from '../setup.mjs';

/** How often a condition is checked again. */
const POLL_MS = 500;

export class Kubectl {
  #flags;

  /** `flags` are kubectl's own: --kubeconfig and --context. */
  constructor({ kubeconfig, context } = {}) {
    if (!isOnPath('kubectl')) throw new Error(`no kubectl in PATH (${process.env.PATH})`);
    this.#flags = [
      ...(kubeconfig === undefined ? [] : [`--kubeconfig=${kubeconfig}`]),
      ...(context === undefined ? [] : [`--context=${context}`]),
    ];
  }

  /** Runs kubectl. Resolves to its stdout. Rejects with kubectl's last line of stderr. */
  run(args, { input = '' } = {}) {
    return new Promise((resolve, reject) => {
      const child = spawn('kubectl', [...this.#flags, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
      let [stdout, stderr] = ['', ''];
      child.stdout.setEncoding('utf8').on('data', (text) => {
        stdout += text;
      });
      child.stderr.setEncoding('utf8').on('data', (text) => {
        stderr += text;
      });
      child.stdin.on('error', () => undefined);
      child.on('error', reject);
      child.on('close', (code) => {
        if (code === 0) return resolve(stdout);
        const said = stderr.trim().split('\n').at(-1) || `exit ${code}`;
        reject(Object.assign(new Error(`kubectl ${args.slice(0, 2).join(' ')}: ${said}`), { stderr }));
      });
      child.stdin.end(input);
    });
  }

  async json(args) {
    return JSON.parse(await this.run([...args, '--output=json']));
  }

  /** The items of a list. */
  async list(args) {
    return (await this.json(['get', ...args])).items;
  }

  /** One object, or undefined when there is none. */
  async find(args) {
    try {
      return await this.json(['get', ...args]);
    } catch (error) {
      if (/NotFound|not found|doesn't have a resource type/.test(error.stderr ?? '')) return undefined;
      throw error;
    }
  }

  async apply(objects) {
    await this.run(['apply', '--filename=-'], {
      input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
    });
  }

  /**
   * Waits until `isSo` holds; rejects after `timeoutMs` and says what it waited for. `isSo` may return the reason why it does not hold, as
   * a text.
   */
  async until(what, isSo, timeoutMs) {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const answer = await isSo();
      if (answer === true) return;
      if (Date.now() > end)
        throw new Error(`${what}: not within ${timeoutMs / 1000} s${typeof answer === 'string' ? ` (${answer})` : ''}`);
      await new Promise((resolve) => void setTimeout(resolve, POLL_MS));
    }
  }
}
