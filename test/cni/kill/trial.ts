// One kill: while a pod is attached as a runtime does it, one plugin of the list is killed at one system call. Afterwards DEL must
// succeed and leave nothing, and ADD must work again.

import { existsSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type CommandResult, mustRun, runCommand } from '../../lab/command.ts';
import { devices, firewallMentions, heldAddresses, keptFiles } from '../stress/observe.ts';
import { addressOf, callPlugin, flannelPart, type Part, type Place, problemOf } from '../stress/plugin.ts';
import type { Point } from './points.ts';

const POD = { container: 'c1', netns: '/run/netns/c1' };
const HOST_PORT = 20_080;
const CONNECT_LIMIT_MS = 3_000;

/** The plugin call that is killed. */
export interface Target {
  readonly type: string;
  readonly command: 'ADD' | 'DEL';
}

export class Trial {
  readonly #place: Place;
  readonly #killer: string;
  readonly #parts: readonly Part[];

  constructor(place: Place, killer: string) {
    this.#place = place;
    this.#killer = killer;
    const rate = { ingressRate: 8_000_000, ingressBurst: 8_000_000, egressRate: 8_000_000, egressBurst: 8_000_000 };
    this.#parts = [
      flannelPart(place),
      {
        type: 'portmap',
        runtimeConfig: { portMappings: [{ hostPort: HOST_PORT, containerPort: 80, protocol: 'tcp' }] },
      },
      { type: 'bandwidth', runtimeConfig: { bandwidth: rate } },
    ];
  }

  /** Runs `target` with killer.c in front: `words` are its arguments before the program. */
  async runTarget({ type, command }: Target, words: readonly string[]): Promise<CommandResult> {
    await this.#reset();
    const part = this.#parts.find((one) => one.type === type);
    if (part === undefined) throw new Error(`no plugin ${type} in the list`);
    const at = this.#parts.indexOf(part);
    const before = command === 'ADD' ? this.#parts.slice(0, at) : this.#parts;
    const prevResult = await this.#add(before);
    if (command === 'DEL') await this.#del(this.#parts.slice(at + 1));
    const killed = { ...part, ...(command === 'ADD' && prevResult !== undefined && { prevResult }) };
    return callPlugin(this.#place, command, POD, killed, { before: [this.#killer, ...words] });
  }

  /** Kills `target` at `point`. Returns whether a process was killed there. */
  async kill(target: Target, { process, number, nth }: Point): Promise<boolean> {
    const { exitCode } = await this.runTarget(target, ['kill', `${process}`, `${number}`, `${nth}`]);
    return exitCode === 0;
  }

  /** Throws an Error that names the condition that does not hold after a kill. */
  async recover(): Promise<void> {
    await this.#del(this.#parts);
    await this.#expectNothing();
    const result = await this.#add(this.#parts);
    await this.#connect(result);
    await this.#del(this.#parts);
    await this.#expectNothing();
  }

  /** A node to which nothing was ever attached. */
  async #reset(): Promise<void> {
    await this.#del(this.#parts);
    for (const folder of ['networks', 'state']) rmSync(join(this.#place.dir, folder), { recursive: true, force: true });
    if (existsSync('/sys/class/net/cni0')) await mustRun(['ip', 'link', 'del', 'cni0']);
    await mustRun(['nft', 'flush', 'ruleset']);
  }

  async #add(parts: readonly Part[]): Promise<object | undefined> {
    let prevResult: object | undefined;
    for (const part of parts) {
      const chained = prevResult === undefined ? part : { ...part, prevResult };
      const outcome = await callPlugin(this.#place, 'ADD', POD, chained);
      const problem = problemOf('ADD', outcome);
      if (problem !== undefined) throw new Error(`${part.type}: ${problem}`);
      prevResult = JSON.parse(outcome.stdout) as object;
    }
    return prevResult;
  }

  async #del(parts: readonly Part[]): Promise<void> {
    for (const part of [...parts].reverse()) {
      const problem = problemOf('DEL', await callPlugin(this.#place, 'DEL', POD, part));
      if (problem !== undefined) throw new Error(`${part.type}: ${problem}`);
    }
  }

  /** Expects that a closed port of the pod refuses a connection, which shows that the pod is reachable. */
  async #connect(result: object | undefined): Promise<void> {
    const host = addressOf({ stdout: JSON.stringify(result) });
    const code = await new Promise((resolve) => {
      const socket = connect({ host, port: 9, timeout: CONNECT_LIMIT_MS });
      socket.on('timeout', () => socket.destroy(Object.assign(new Error(), { code: 'no answer' })));
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    });
    if (code !== 'ECONNREFUSED') throw new Error(`the pod at ${host} is not reached: ${code}`);
  }

  async #expectNothing(): Promise<void> {
    const left = [
      ...devices().filter((name) => !['lo', 'cni0'].includes(name) && !/^(tunl|gre|sit|ip6|erspan|gretap)/.test(name)),
      ...heldAddresses(this.#place).keys(),
      ...keptFiles(this.#place),
    ];
    if ((await firewallMentions([`${HOST_PORT}`])) > 0) left.push(`a mapping of port ${HOST_PORT}`);
    const pod = await runCommand(['nsenter', `--net=${POD.netns}`, 'cat', '/proc/net/dev']);
    if (pod.stdout.includes('eth0')) left.push('eth0 in the pod');
    if (left.length > 0) throw new Error(`left: ${left.join(' ')}`);
  }
}
