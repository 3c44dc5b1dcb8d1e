// The extension's peers as a kind of object: the object exists once the peer's command has succeeded. The kernel sends no events for them,
// so they are polled. A peer's command does not delay those of other peers, and is retried when it fails.

import { type CommandLine, fillIn } from '../../../lib/command-line.ts';
import { errorText } from '../../../lib/errors.ts';
import { execProgram } from '../../../lib/exec-node.ts';
import { type Family, formatIp, formatPrefix } from '../../../lib/ip.ts';
import { showJson } from '../../../lib/json-fields.ts';
import type { Action, ObjectKind, Refusal } from '../../dataplane/objects/kind.ts';
import type { Plan } from '../../dataplane/plan.ts';
import type { LeaseSnapshot } from '../../subnet/manager.ts';
import type { BackendTools, FamilySettings } from '../backend.ts';
import { routePeers } from '../route-peer.ts';
import type { ExtensionConf } from './extension-keys.ts';
import { type ExtensionPeer, extensionStateFile, readExtensionState, writeExtensionState } from './extension-state.ts';

const COMMAND_MS = 30_000;
/** How many commands run at the same time. */
const AT_A_TIME = 8;
/** How long a run of the overlays waits for commands. It checks again for slower ones after the same time. */
const PATIENCE_MS = 100;

/** A peer and the key of its lease. */
export interface KeyedPeer extends ExtensionPeer {
  readonly key: string;
}

/** The work for one peer: first the commands that remove its old state, then those that add the new one. */
interface PeerAction extends Action {
  readonly key: string;
  readonly was: ExtensionPeer | undefined;
  readonly is: ExtensionPeer | undefined;
}

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

/** The peers in a snapshot, with every family that both they and this node have. */
export function extensionPlan(snapshot: LeaseSnapshot, families: readonly FamilySettings[]): Plan<KeyedPeer> {
  const problems = new Map(snapshot.problems.map(({ key, reason }) => [key, reason]));
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
  const peers = new Map<string, KeyedPeer>();
  for (const [key, known] of found) {
    const { backendData, backendV6Data } = snapshot.leases.get(key) ?? {};
    const data = backendData ?? backendV6Data ?? '';
    if (typeof data !== 'string') problems.set(key, `backend data is ${showJson(data)}, not a string`);
    if (typeof data !== 'string' || problems.has(key)) continue;
    const variables = { SUBNET: '', IPV6SUBNET: '', PUBLIC_IP: '', PUBLIC_IPV6: '', ...known };
    peers.set(key, { key, variables, data });
  }
  return { peers, problems: [...problems].map(([key, reason]) => ({ key, reason })), doubts: [] };
}

export class ExtensionPeers implements ObjectKind<KeyedPeer, KeyedPeer, PeerAction> {
  readonly name = 'peer';
  readonly #conf: Pick<ExtensionConf, 'subnetAdd' | 'subnetRemove'>;
  readonly #tools: BackendTools;
  readonly #file: string;
  readonly #busy = new Map<string, Promise<void>>();
  /** The errors of commands that have failed since they were last read. */
  readonly #failures = new Map<string, string>();
  readonly #ending = new AbortController();
  readonly #applied: Map<string, ExtensionPeer>;

  constructor(conf: Pick<ExtensionConf, 'subnetAdd' | 'subnetRemove'>, tools: BackendTools) {
    this.#conf = conf;
    this.#tools = tools;
    this.#file = extensionStateFile(tools.stateDir);
    this.#applied = readExtensionState(tools.sys, this.#file, tools.log);
  }

  wantedKey({ key }: KeyedPeer): string {
    return key;
  }

  presentKey({ key }: KeyedPeer): string {
    return key;
  }

  isRight(have: KeyedPeer, want: KeyedPeer): boolean {
    return have.data === want.data && JSON.stringify(have.variables) === JSON.stringify(want.variables);
  }

  isOurs(): boolean {
    return true;
  }

  list(): KeyedPeer[] {
    return [...this.#applied].map(([key, peer]) => ({ key, ...peer }));
  }

  asWanted(want: KeyedPeer): KeyedPeer {
    return want;
  }

  put(want: KeyedPeer, have: KeyedPeer | undefined): PeerAction {
    return this.#action(want.key, have, want);
  }

  remove(have: KeyedPeer): PeerAction {
    return this.#action(have.key, have, undefined);
  }

  spell({ key }: KeyedPeer): string {
    return `peer ${key}`;
  }

  difference(): string {
    return 'had different data';
  }

  #action(key: string, was: ExtensionPeer | undefined, is: ExtensionPeer | undefined): PeerAction {
    const { subnetAdd, subnetRemove } = this.#conf;
    const lines = [
      was && subnetRemove && fillIn(subnetRemove, was.variables),
      is && subnetAdd && fillIn(subnetAdd, is.variables),
    ];
    const command = lines.flatMap((line) => (line === undefined ? [] : [line.join(' ')])).join(' && ');
    return { key, was, is, describe: () => `run the commands of ${key}`, command: () => command };
  }

  /** Starts as many commands as allowed and waits for PATIENCE_MS. */
  async execute(actions: readonly PeerAction[]): Promise<Refusal[]> {
    const started = new Set<string>();
    for (const action of actions) {
      const { key } = action;
      if (this.#busy.size >= AT_A_TIME) break;
      started.add(key);
      if (this.#busy.has(key)) continue;
      this.#busy.set(
        key,
        this.#settle(action).finally(() => this.#busy.delete(key)),
      );
    }
    await Promise.race([
      Promise.all(this.#busy.values()),
      new Promise((resolve) => this.#tools.clock.after(PATIENCE_MS, () => resolve(undefined))),
    ]);
    return actions.flatMap((action) => this.#refusal(action, started.has(action.key)));
  }

  #refusal(action: PeerAction, isStarted: boolean): Refusal[] {
    const { key } = action;
    const text = this.#failures.get(key);
    if (!isStarted || this.#busy.has(key) || this.#ending.signal.aborted) {
      return [{ action, text: 'under way', pendingMs: 0 }];
    }
    this.#failures.delete(key);
    return text === undefined ? [] : [{ action, text }];
  }

  /** Ends the running commands. */
  async close(): Promise<void> {
    this.#ending.abort();
    await Promise.allSettled(this.#busy.values());
  }

  async #settle({ key, was, is }: PeerAction): Promise<void> {
    this.#failures.delete(key);
    try {
      if (was !== undefined) {
        await this.#run('SubnetRemoveCommand', this.#conf.subnetRemove, key, was);
        this.#applied.delete(key);
        this.#save();
      }
      if (is === undefined) return;
      await this.#run('SubnetAddCommand', this.#conf.subnetAdd, key, is);
      this.#applied.set(key, { variables: is.variables, data: is.data });
      this.#save();
    } catch (error) {
      this.#failures.set(key, errorText(error));
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
