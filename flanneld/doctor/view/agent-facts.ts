// Finds out whether this node has an agent, and whether it answers. An agent that is stopped or hangs is recognized too: the kernel accepts
// connections for it as long as its socket is open.

import { readFileSync } from 'node:fs';
import { errorText } from '../../../lib/errors.ts';
import { stretched } from '../../cli/time-factor.ts';
import { fetchStatus } from '../../health/status/client.ts';
import { type AgentProcess, agentProcesses } from '../../pods/agent-processes.ts';
import type { AgentFacts } from './facts.ts';

const ANSWER_MS = 2000;

/** A running agent in this network namespace, and what the doctor needs to know about it. */
export interface AgentDetails extends AgentProcess {
  readonly env: Readonly<Record<string, string>>;
  /** The letter of proc(5): R, S, D, T … */
  readonly state: string;
}

/** The running agents, without those that may not be read. */
export function agentsInDetail(): AgentDetails[] {
  return agentProcesses().flatMap((agent) => {
    try {
      return [{ ...agent, ...detailsOf(agent.pid) }];
    } catch {
      return []; // the process has ended, or may not be read
    }
  });
}

function detailsOf(pid: number): Pick<AgentDetails, 'env' | 'state'> {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const env = Object.fromEntries(
    readFileSync(`/proc/${pid}/environ`, 'utf8')
      .split('\0')
      .filter((line) => /^(FLANNELD_(?!.*PASSWORD)|NODE_NAME=|KUBERNETES_SERVICE_HOST=)/.test(line))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  return { env, state: stat.slice(stat.lastIndexOf(')') + 2)[0] ?? '?' };
}

/** Asks the agent that writes `subnetFile`. Never rejects. */
export async function agentFacts(subnetFile: string, processes: readonly AgentDetails[]): Promise<AgentFacts> {
  try {
    return { state: 'answers', report: await fetchStatus(subnetFile, stretched(ANSWER_MS)) };
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
