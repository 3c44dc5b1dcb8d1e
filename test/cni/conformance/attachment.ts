// One attachment (container, interface, network configuration) and CNI's operations on it. The environment variables are those that
// a runtime sets (SPEC.md 1.1.0, "Parameters").

import type { CommandResult } from '../../lab/command.ts';
import { withoutVersion } from '../../support/cni-error.ts';
import { fail, holds, same, sameText, show } from './expect.ts';
import { netnsPath } from './sandbox.ts';

export type JsonObject = { readonly [key: string]: unknown };

export interface CallOptions {
  /** Which plugin to execute; the case's own plugin when absent. */
  readonly plugin?: string | undefined;
  /** All environment variables except PATH. */
  readonly env: Readonly<Record<string, string>>;
  /** What is sent on stdin: an object as JSON, a text unchanged. */
  readonly stdin: JsonObject | string;
}

/** What executes the plugin: a Trial. */
export interface Caller {
  /** The executables' folder, at its path inside the sandbox. */
  readonly bin: string;
  call(options: CallOptions): Promise<CommandResult>;
}

export interface AttachmentOptions {
  /** CNI_CONTAINERID; `c1` when absent. */
  readonly container?: string;
  /** CNI_NETNS; the namespace of `c1`, which always exists, when absent. */
  readonly netns?: string;
  /** CNI_IFNAME; `eth0` when absent. */
  readonly ifname?: string;
  /** CNI_ARGS. */
  readonly args?: string;
  /** CNI_PATH; when absent, the executables' folder. */
  readonly path?: string;
  /** The plugin; the case's own when absent. */
  readonly plugin?: string;
  /** More variables. They override those above. */
  readonly env?: Readonly<Record<string, string>>;
}

/** The CNI error object that is expected, together with exit code 1. */
export interface WantedError {
  readonly code: number;
  readonly msg: string | RegExp;
  readonly details?: string | RegExp;
}

/** The parts of a result that cases check, in the form of any CNI version. */
export interface CniResult extends JsonObject {
  readonly cniVersion?: string;
  readonly interfaces?: readonly { name: string; mac?: string; mtu?: number; sandbox?: string }[];
  readonly ips?: readonly { version?: string; address: string; gateway?: string; interface?: number }[];
  readonly routes?: readonly { dst: string; gw?: string }[];
  readonly ip4?: { ip: string; gateway?: string; routes?: readonly { dst: string; gw?: string }[] };
  readonly ip6?: { ip: string; gateway?: string; routes?: readonly { dst: string; gw?: string }[] };
  readonly dns?: JsonObject;
}

export class Attachment {
  readonly #caller: Caller;
  readonly #config: JsonObject;
  readonly #options: AttachmentOptions;

  constructor(caller: Caller, config: JsonObject, options: AttachmentOptions) {
    this.#caller = caller;
    this.#config = config;
    this.#options = options;
  }

  /** The same attachment with other options or another configuration. */
  with(options: AttachmentOptions, config: JsonObject = {}): Attachment {
    return new Attachment(this.#caller, { ...this.#config, ...config }, { ...this.#options, ...options });
  }

  /** Executes the plugin and resolves whether it succeeds or fails. `extra` adds keys to the configuration. */
  exec(command: string, extra: JsonObject = {}): Promise<CommandResult> {
    const { container = 'c1', netns = netnsPath('c1'), ifname = 'eth0', args, env, path, plugin } = this.#options;
    return this.#caller.call({
      plugin,
      env: {
        CNI_COMMAND: command,
        CNI_CONTAINERID: container,
        CNI_NETNS: netns,
        CNI_IFNAME: ifname,
        CNI_PATH: path ?? this.#caller.bin,
        ...(args === undefined ? {} : { CNI_ARGS: args }),
        ...env,
      },
      stdin: { ...this.#config, ...extra },
    });
  }

  /** Runs ADD, which must succeed, and resolves with the result it printed. */
  async add(extra: JsonObject = {}): Promise<CniResult> {
    return resultOf(await this.exec('ADD', extra));
  }

  /** Runs DEL, which must succeed and print nothing to stdout. */
  async del(extra: JsonObject = {}): Promise<void> {
    silentSuccess(await this.exec('DEL', extra), 'DEL');
  }

  /** Runs CHECK with `prevResult`. It must succeed and print nothing to stdout. */
  async check(prevResult: JsonObject | undefined, extra: JsonObject = {}): Promise<void> {
    silentSuccess(await this.exec('CHECK', { ...(prevResult && { prevResult }), ...extra }), 'CHECK');
  }

  /** Runs the command, which must fail with this error and exit code 1. */
  async fails(command: string, wanted: WantedError, extra: JsonObject = {}): Promise<void> {
    failsWith(await this.exec(command, extra), wanted, command);
  }
}

/** The result that ADD printed, which must be one JSON document. */
export function resultOf(outcome: CommandResult): CniResult {
  if (outcome.exitCode !== 0) fail(`ADD: wanted exit 0, got ${outcome.exitCode}: ${outcome.stdout || outcome.stderr}`);
  return parse(outcome.stdout, 'ADD') as CniResult;
}

export function silentSuccess(outcome: CommandResult, what: string): void {
  if (outcome.exitCode !== 0)
    fail(`${what}: wanted exit 0, got ${outcome.exitCode}: ${outcome.stdout || outcome.stderr}`);
  same(outcome.stdout, '', `stdout of ${what}`);
}

export function failsWith(outcome: CommandResult, wanted: WantedError, what: string): void {
  same(outcome.exitCode, 1, `exit code of ${what} (${outcome.stdout || outcome.stderr})`);
  const error = parse(outcome.stdout, what) as { code?: unknown; msg?: unknown; details?: unknown };
  sameText(String(error.msg), wanted.msg, `msg of ${what}`);
  same(error.code, wanted.code, `code of ${what} (${show(error)})`);
  if (wanted.details === undefined) return;
  const { details } = withoutVersion(error) as { details?: unknown };
  sameText(String(details), wanted.details, `details of ${what}`);
}

function parse(stdout: string, what: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(stdout);
  } catch {
    fail(`stdout of ${what}: wanted one JSON document, got ${show(stdout)}`);
  }
  holds(typeof value === 'object' && value !== null && !Array.isArray(value), `stdout of ${what}: wanted an object`);
  return value as JsonObject;
}
