// Finds out whether this node has an agent, and whether it answers. Works for an agent that is stopped or hangs: the kernel accepts
// connections for it as long as it has the socket.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { errorText } from '../../../lib/errors.ts';
import { isSubCommand } from '../../cli/sub-commands.ts';
import { fetchStatus } from '../../health/status/client.ts';
import type { AgentFacts } from './facts.ts';

const ANSWER_MS = 2000;

/** A running agent of this network namespace. */
export interface AgentProcess {
  readonly pid: number;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The letter of proc(5): R, S, D, T … */
  readonly state: string;
}

/** The processes that run as agents in this process's network namespace; what may not be read is left out. */
export function agentProcesses(): AgentProcess[] {
  const own = netnsOf('self');
  return pids().flatMap((pid) => {
    const process = readAgent(pid);
    return process !== undefined && netnsOf(`${pid}`) === own ? [process] : [];
  });
}

function pids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number);
}

function netnsOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}

function readAgent(pid: number): AgentProcess | undefined {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
    const argv = agentArguments(words);
    if (argv === undefined) return undefined;
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const state = stat.slice(stat.lastIndexOf(')') + 2)[0] ?? '?';
    const env = Object.fromEntries(
      readFileSync(`/proc/${pid}/environ`, 'utf8')
        .split('\0')
        .filter((line) => /^(FLANNELD_(?!.*PASSWORD)|NODE_NAME=|KUBERNETES_SERVICE_HOST=)/.test(line))
        .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
    return { pid, argv, env, state };
  } catch {
    return undefined; // the process has gone, or may not be read
  }
}

/** What follows the name of the program in the command line of a running agent; undefined when it is something else. */
function agentArguments(words: readonly string[]): string[] | undefined {
  const [first = '', second = ''] = words;
  const isNode = /^node(js)?$/.test(basename(first));
  if (basename(isNode ? second : first) !== 'flanneld') return undefined;
  const rest = words.slice(isNode ? 2 : 1);
  return rest.some(isSubCommand) ? undefined : [...rest];
}

/** Asks the agent that writes `subnetFile`. Never rejects. */
export async function agentFacts(subnetFile: string, processes: readonly AgentProcess[]): Promise<AgentFacts> {
  try {
    return { state: 'answers', report: await fetchStatus(subnetFile, ANSWER_MS) };
  } catch (error) {
    const [process] = processes;
    const why = errorText(error);
    if (why.includes(': timeout')) {
      return { state: 'silent', ...(process && { pid: process.pid, processState: process.state }) };
    }
    if (process === undefined) return { state: 'absent', why };
    return { state: 'without socket', pid: process.pid, why };
  }
}
