// Which peers there are for the extension's commands, and running these: one peer's command neither delays another's
// nor is forgotten when it fails.

import type { ExtensionConf } from '../../lib/backend-conf.ts';
import { type CommandLine, fillIn } from '../../lib/command-line.ts';
import { errorText } from '../../lib/errors.ts';
import { execProgram } from '../../lib/exec-node.ts';
import { type Family, formatIp, formatPrefix } from '../../lib/ip.ts';
import { showJson } from '../../lib/json-fields.ts';
import { isWorthLogging } from '../dataplane/peer-ledger.ts';
import { Retries } from '../dataplane/retries.ts';
import { routePeers } from '../dataplane/route-peer.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import type { LeaseSnapshot } from '../subnet/manager.ts';
import type { BackendTools } from './backend.ts';
import { type ExtensionPeer, extensionStateFile, readExtensionState, writeExtensionState } from './extension-state.ts';
import type { FamilySettings } from './overlay.ts';

const COMMAND_MS = 30_000;
/** Commands at a time. */
const AT_A_TIME = 8;
/** A run of the overlays waits so long for commands; what takes longer is looked for again after as long. */
const PATIENCE_MS = 100;

/** Runs a command; resolves to what it printed, without the white space around it. Rejects with ExecError. */
export async function runCommand(
  command: CommandLine,
  variables: Readonly<Record<string, string>>,
  input: string,
  { env, signal }: { readonly env: BackendTools['env']; readonly signal: AbortSignal },
): Promise<string> {
  const whole: Record<string, string> = {};
  for (const [name, value] of Object.entries({ ...env, ...variables })) if (value !== undefined) whole[name] = value;
  const options = { input: `${input}\n`, timeoutMs: COMMAND_MS, signal, env: whole };
  const { stdout } = await execProgram(fillIn(command, variables), options);
  return stdout.trim();
}

/** The peers of a snapshot, by lease key, in every family that both have. */
export function extensionPeers(
  snapshot: LeaseSnapshot,
  families: readonly FamilySettings[],
): { readonly peers: ReadonlyMap<string, ExtensionPeer>; readonly problems: readonly PeerProblem[] } {
  const problems = new Map<string, string>();
  const found = new Map<string, Partial<Record<string, string>>>();
  const names: Readonly<Record<Family, readonly [string, string]>> = {
    4: ['SUBNET', 'PUBLIC_IP'],
    6: ['IPV6SUBNET', 'PUBLIC_IPV6'],
  };
  for (const settings of families) {
    const { peers, problems: bad } = routePeers(snapshot, { ...settings, types: ['extension'] });
    const [subnetName, ipName] = names[settings.family];
    for (const { key, subnet, publicIp } of peers) {
      found.set(key, { ...found.get(key), [subnetName]: formatPrefix(subnet), [ipName]: formatIp(publicIp) });
    }
    for (const { key, reason } of bad) problems.set(key, reason);
  }
  const peers = new Map<string, ExtensionPeer>();
  for (const [key, known] of found) {
    const { backendData, backendV6Data } = snapshot.leases.get(key) ?? {};
    const data = backendData ?? backendV6Data ?? '';
    if (typeof data !== 'string') problems.set(key, `backend data is ${showJson(data)}, not a string`);
    if (typeof data !== 'string' || problems.has(key)) continue;
    peers.set(key, { variables: { SUBNET: '', IPV6SUBNET: '', PUBLIC_IP: '', PUBLIC_IPV6: '', ...known }, data });
  }
  return { peers, problems: [...problems].map(([key, reason]) => ({ key, reason })) };
}

export class ExtensionPeers {
  readonly #conf: Pick<ExtensionConf, 'subnetAdd' | 'subnetRemove'>;
  readonly #tools: BackendTools;
  readonly #file: string;
  readonly #retries = new Retries();
  readonly #busy = new Map<string, Promise<void>>();
  readonly #ending = new AbortController();
  readonly #applied: Map<string, ExtensionPeer>;
  #wanted: ReadonlyMap<string, ExtensionPeer> = new Map();

  constructor(conf: Pick<ExtensionConf, 'subnetAdd' | 'subnetRemove'>, tools: BackendTools) {
    this.#conf = conf;
    this.#tools = tools;
    this.#file = extensionStateFile(tools.stateDir);
    this.#applied = readExtensionState(tools.sys, this.#file, tools.log);
  }

  get wanted(): number {
    return this.#wanted.size;
  }

  /** Peers whose command has succeeded for what they are now. */
  get programmed(): number {
    return [...this.#wanted].filter(([key, peer]) => samePeer(this.#applied.get(key), peer)).length;
  }

  problems(): PeerProblem[] {
    return this.#retries.problems();
  }

  /** Starts what is due and waits a moment; resolves to when to look again, undefined when nothing is pending. */
  async run(wanted: ReadonlyMap<string, ExtensionPeer>): Promise<number | undefined> {
    this.#wanted = wanted;
    const pending = [...new Set([...this.#applied.keys(), ...wanted.keys()])].filter(
      (key) => !samePeer(this.#applied.get(key), wanted.get(key)),
    );
    this.#retries.retain((key) => pending.includes(key));
    const { clock } = this.#tools;
    for (const key of pending) {
      if (this.#busy.size >= AT_A_TIME) break;
      if (this.#busy.has(key) || !this.#retries.isDue(key, clock.now())) continue;
      const work = this.#settle(key).finally(() => this.#busy.delete(key));
      this.#busy.set(key, work);
    }
    if (this.#busy.size === 0) return this.#retries.nextDueMs(clock.now());
    await Promise.race([
      Promise.all(this.#busy.values()),
      new Promise((resolve) => clock.after(PATIENCE_MS, () => resolve(undefined))),
    ]);
    return this.#busy.size > 0 || pending.length > AT_A_TIME ? 0 : this.#retries.nextDueMs(clock.now());
  }

  /** Ends what is running. */
  async close(): Promise<void> {
    this.#ending.abort();
    await Promise.allSettled(this.#busy.values());
  }

  async #settle(key: string): Promise<void> {
    const { log, clock } = this.#tools;
    try {
      const before = this.#applied.get(key);
      if (before !== undefined) {
        await this.#run('SubnetRemoveCommand', this.#conf.subnetRemove, key, before);
        this.#applied.delete(key);
        this.#save();
      }
      const wanted = this.#wanted.get(key);
      if (wanted !== undefined) {
        await this.#run('SubnetAddCommand', this.#conf.subnetAdd, key, wanted);
        this.#applied.set(key, wanted);
        this.#save();
      }
      this.#retries.succeeded(key);
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      const count = this.#retries.failed(key, errorText(error), clock.now());
      if (isWorthLogging(count))
        log.warn({ peer: key, err: errorText(error), count }, 'peer not programmed, will retry');
    }
  }

  async #run(name: string, command: CommandLine | undefined, key: string, peer: ExtensionPeer): Promise<void> {
    if (command === undefined) return;
    const { env, log } = this.#tools;
    await runCommand(command, peer.variables, peer.data, { env, signal: this.#ending.signal });
    log.info({ peer: key, cmd: fillIn(command, peer.variables).join(' ') }, `${name} run`);
  }

  #save(): void {
    writeExtensionState(this.#tools.sys, this.#file, this.#applied);
  }
}

function samePeer(a: ExtensionPeer | undefined, b: ExtensionPeer | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
