// `flanneld doctor`: reads the node once, lets the checks judge it, and names each cause once. It works without an agent.

import { hostname } from 'node:os';
import { openNetlink } from '../../lib/netlink/connection.ts';
import { printableJson } from '../../lib/printable.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import type { Environment } from '../cli/flags.ts';
import { parseCommandLine } from '../cli/flags.ts';
import type { Options } from '../cli/options.ts';
import type { Finding } from '../health/finding.ts';
import { causesOnly } from './causes.ts';
import { CHECKS } from './checks/all.ts';
import { type Draft, finished } from './draft.ts';
import { findingsText } from './text.ts';
import { type AgentProcess, agentProcesses } from './view/agent-facts.ts';
import { readView } from './view/read-view.ts';
import type { View } from './view/view.ts';

const EXIT_ERRORS = 1;
const EXIT_BLIND = 2;

const ORDER = ['error', 'warning', 'info'];

/** Judges a view. Pure. */
function judge(view: View, more: readonly Draft[] = []): Finding[] {
  const drafts = causesOnly([...CHECKS.flatMap((check) => check(view)), ...more]);
  const findings = drafts.map((draft) => finished(draft, view.node));
  return findings.toSorted((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
}

/**
 * Looks and writes what it found. Resolves to the exit code: 0 without errors, 1 with one, 2 when the kernel does not answer.
 * Rejects when nothing can be looked at.
 */
export async function doctor(
  options: Options,
  argv: readonly string[],
  env: Environment,
  write: (text: string) => void,
) {
  const processes = agentProcesses();
  const sys = openKoffiSyscalls();
  const tools = { sys, netlink: openNetlink(sys) };
  const view = await readView(optionsOf(options, argv, env, processes), processes, tools);
  const findings = judge(view);
  write(options.json ? `${printableJson(JSON.stringify({ findings }, null, 2))}\n` : findingsText(view.node, findings));
  if (view.kernel === undefined) return EXIT_BLIND;
  return findings.some(({ severity }) => severity === 'error') ? EXIT_ERRORS : 0;
}

/**
 * The options of the running agent, and over them those given to the doctor: in the agent's container nobody repeats the flags.
 * An agent whose command line cannot be read, or is of another version, is left out.
 */
export function optionsOf(
  given: Options,
  argv: readonly string[],
  env: Environment,
  processes: readonly AgentProcess[],
): Options {
  for (const process of processes) {
    try {
      const words = argv.filter((word) => word !== 'doctor');
      const line = parseCommandLine(['doctor', ...process.argv, ...words], { ...process.env, ...env });
      if (line.command === 'doctor' && (processes.length === 1 || line.options.subnetFile === given.subnetFile)) {
        return { ...line.options, nodeName: line.options.nodeName ?? hostname() };
      }
    } catch {
      // the next one, or what was given
    }
  }
  return given;
}
