// `flanneld doctor`: reads the node, runs the checks, sends some packets, and reports each cause once. It works without an agent.

import { hostname } from 'node:os';
import { systemClock } from '../../lib/clock-node.ts';
import { openNetlink } from '../../lib/netlink/connection.ts';
import { printableJson } from '../../lib/printable.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import type { Environment } from '../cli/flags.ts';
import { parseCommandLine } from '../cli/flags.ts';
import type { Options } from '../cli/options.ts';
import { nftProgram } from '../firewall/nft-program.ts';
import type { Finding } from '../health/finding.ts';
import type { Logger } from '../health/log.ts';
import { causesOnly } from './causes.ts';
import { findingsText } from './doctor-text.ts';
import { finished } from './draft.ts';
import { examineInTime } from './examination.ts';
import { type AgentDetails, agentsInDetail } from './view/agent-facts.ts';
import type { View } from './view/view.ts';

const EXIT_ERRORS = 1;
const EXIT_BLIND = 2;

const ORDER = ['error', 'warning', 'info'];
const NFT_MS = 2500;

/**
 * Examines the node and prints the findings. Resolves to the exit code: 0 without errors, 1 with one, 2 when the kernel does not answer.
 * Rejects when nothing can be examined.
 */
export async function doctor(
  options: Options,
  argv: readonly string[],
  env: Environment,
  write: (text: string) => void,
): Promise<number> {
  const processes = agentsInDetail();
  const sys = openKoffiSyscalls();
  const end = new AbortController();
  const tools = {
    sys,
    netlink: openNetlink(sys),
    nft: nftProgram(end.signal, NFT_MS),
    log: silent,
    clock: systemClock,
    env,
  };
  const { examined, takeBack } = await examineInTime(optionsOf(options, argv, env, processes), processes, tools);
  const { view, drafts } = examined;
  const node = view?.node ?? options.nodeName ?? hostname();
  const findings = causesOnly(drafts)
    .map((draft) => finished(draft, node))
    .toSorted((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
  write(options.json ? `${printableJson(JSON.stringify({ findings }, null, 2))}\n` : findingsText(node, findings));
  await takeBack();
  // So a program that hangs does not outlive the doctor.
  end.abort();
  return exitCode(view, findings);
}

function exitCode(view: View | undefined, findings: readonly Finding[]): number {
  if (view?.kernel === undefined) return EXIT_BLIND;
  return findings.some(({ severity }) => severity === 'error') ? EXIT_ERRORS : 0;
}

/**
 * The options of the running agent, overridden by those given to the doctor: nobody repeats the flags in the agent's container. An agent is
 * ignored when its command line cannot be read or belongs to another version.
 */
export function optionsOf(
  given: Options,
  argv: readonly string[],
  env: Environment,
  processes: readonly AgentDetails[],
): Options {
  for (const process of processes) {
    try {
      const words = argv.filter((word) => word !== 'doctor');
      const line = parseCommandLine(['doctor', ...process.argv, ...words], { ...process.env, ...env });
      if (line.command === 'doctor' && (processes.length === 1 || line.options.subnetFile === given.subnetFile)) {
        return { ...line.options, nodeName: line.options.nodeName ?? hostname() };
      }
    } catch {
      // a command line that cannot be read is skipped
    }
  }
  return given;
}

/** The doctor reports by findings and logs nothing. */
const silent: Logger = {
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined,
};
