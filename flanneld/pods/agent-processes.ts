// Finds the agents that run in this process's network namespace, by their command lines. An agent in another namespace belongs to another
// node (of a lab or a test).

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { isSubCommand } from '../cli/sub-commands.ts';

export interface AgentProcess {
  readonly pid: number;
  /** The arguments after the program's name. */
  readonly argv: readonly string[];
}

/** Arguments, besides sub-commands, with which the program does not run as an agent. */
const NO_AGENT: ReadonlySet<string> = new Set(['help', 'h', 'version'].flatMap((flag) => [`-${flag}`, `--${flag}`]));

/** The agents that this process can see, except itself. */
export function agentProcesses(): AgentProcess[] {
  const here = netnsOf('self');
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number)
    .flatMap((pid) => {
      const argv = pid === process.pid ? undefined : agentArguments(wordsOf(`/proc/${pid}/cmdline`));
      return argv !== undefined && netnsOf(pid) === here ? [{ pid, argv }] : [];
    });
}

/**
 * The arguments of the agent whose command line is `node [options] …/flanneld [flags]`; undefined for another program. flannel's own
 * agent does not run under Node.
 */
export function agentArguments([program = '', ...words]: readonly string[]): readonly string[] | undefined {
  const script = words.findIndex((word) => basename(word) === 'flanneld');
  if (!/^node/.test(basename(program)) || script < 0) return undefined;
  const argv = words.slice(script + 1);
  return argv.some((word) => isSubCommand(word) || NO_AGENT.has(word)) ? undefined : argv;
}

function netnsOf(pid: number | 'self'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}

/** Each word ends with a zero byte (proc(5)). Empty when the process has ended since it was listed. */
function wordsOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\0').slice(0, -1);
  } catch {
    return [];
  }
}
