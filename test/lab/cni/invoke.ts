// Executes one CNI plugin as libcni does (pkg/invoke): it looks for the plugin, passes it the CNI_* variables and the configuration
// on stdin, and reads the result or the error object that it prints.

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorText } from '../../../lib/errors.ts';
import { type CommandResult, runCommand } from '../command.ts';
import { isObject, type JsonObject } from './conflist.ts';

export type CniCommand = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS' | 'VERSION';

/** One execution. Times are of CLOCK_MONOTONIC, in nanoseconds. */
export interface PluginRun {
  readonly type: string;
  readonly command: CniCommand;
  readonly startNs: number;
  readonly endNs: number;
  readonly exitCode: number | null;
  readonly stderr: string;
}

/** An error that a plugin reported, or that its caller reports when the plugin's answer cannot be read. */
export class CniError extends Error {
  readonly code: number;
  readonly details: string;

  constructor(code: number, message: string, details = '') {
    super(details === '' ? message : `${message}; ${details}`);
    this.name = 'CniError';
    this.code = code;
    this.details = details;
  }
}

/** Runs the executable at `path` with exactly the variables `env`. Rejects with an OpError when it cannot be started. */
export type ExecutePlugin = (
  path: string,
  options: { readonly env: Record<string, string>; readonly input: string; readonly timeoutMs: number },
) => Promise<CommandResult>;

/** Starts the plugin with Node's own spawn. */
export const executeWithNode: ExecutePlugin = (path, options) => runCommand([path], options);

export interface PluginCall {
  readonly type: string;
  readonly command: CniCommand;
  /** The variables without CNI_COMMAND. PATH is added. */
  readonly env: Record<string, string>;
  readonly stdin: string;
  readonly cniPath: readonly string[];
  readonly timeoutMs: number;
  readonly execute: ExecutePlugin;
}

export interface PluginAnswer {
  readonly run: PluginRun;
  readonly stdout: string;
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** A runtime may install plugins while this runs. Executing a file that is still open for writing fails with ETXTBSY. */
const BUSY_ATTEMPTS = 5;
const BUSY_WAIT_MS = 1000;

/** Returns the first regular file named `type` in `folders`, in their order. */
export function findPlugin(type: string, folders: readonly string[]): string {
  if (type === '') throw new Error('no plugin name provided');
  if (type.includes('/')) throw new Error(`invalid plugin name: ${type}`);
  if (folders.length === 0) throw new Error('no paths provided');
  const found = folders.map((folder) => join(folder, type)).find(isRegularFile);
  if (found === undefined) throw new Error(`failed to find plugin "${type}" in path [${folders.join(' ')}]`);
  return found;
}

function isRegularFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** Runs the plugin. When it does not exit with 0, throws the CniError that it printed. `onRun` is called after every execution. */
export async function invokePlugin(call: PluginCall, onRun: (run: PluginRun) => void): Promise<PluginAnswer> {
  const path = findPlugin(call.type, call.cniPath);
  const env = { ...call.env, CNI_COMMAND: call.command, CNI_PATH: call.cniPath.join(':'), PATH };
  const result = await runUnlessBusy(path, env, call);
  const { startNs, endNs, exitCode, stderr } = result;
  const run: PluginRun = { type: call.type, command: call.command, startNs, endNs, exitCode, stderr };
  onRun(run);
  if (exitCode !== 0) throw failureOf(result, call);
  return { run, stdout: result.stdout };
}

async function runUnlessBusy(path: string, env: Record<string, string>, call: PluginCall): Promise<CommandResult> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call.execute(path, { env, input: call.stdin, timeoutMs: call.timeoutMs });
    } catch (error) {
      if ((error as { code?: string }).code !== 'ETXTBSY' || attempt === BUSY_ATTEMPTS) throw error;
      await sleep(BUSY_WAIT_MS);
    }
  }
}

function failureOf({ exitCode, signal, stdout, stderr }: CommandResult, call: PluginCall): CniError {
  const how = exitCode === null ? `signal: ${signal}` : `exit status ${exitCode}`;
  if (stdout === '' && stderr === '') return new CniError(0, `netplugin failed with no error message: ${how}`);
  if (stdout === '') return new CniError(0, `netplugin failed: ${JSON.stringify(stderr)}`);
  try {
    const answer: unknown = JSON.parse(stdout);
    if (!isObject(answer)) throw new Error('not an object');
    return new CniError(Number(answer['code'] ?? 0), String(answer['msg'] ?? ''), String(answer['details'] ?? ''));
  } catch (cause) {
    const text = JSON.stringify(stdout);
    const where = `${call.type} ${call.command}`;
    return new CniError(
      0,
      `netplugin failed but error parsing its diagnostic message ${text}: ${errorText(cause)} (${where})`,
    );
  }
}

/** Returns the result that an ADD printed. A result without a version has that of the configuration. */
export function parseResult(stdout: string, cniVersion: string): JsonObject {
  const result: unknown = JSON.parse(stdout);
  if (!isObject(result)) throw new Error(`a CNI result is an object, not ${stdout.slice(0, 100)}`);
  return typeof result['cniVersion'] === 'string' && result['cniVersion'] !== '' ? result : { ...result, cniVersion };
}
