// `flanneld doctor`: reads the node, lets the checks judge it, tries some packets, and names each cause once. It works without an
// agent.

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
import { CHECKS } from './checks/all.ts';
import { type Draft, finished } from './draft.ts';
import { lasting, once, whileStarting, withHistory } from './settle.ts';
import { findingsText } from './text.ts';
import { tryPackets } from './tries/tries.ts';
import type { TryTools } from './tries/try-tools.ts';
import { type AgentDetails, agentsInDetail } from './view/agent-facts.ts';
import { readView, type ViewTools } from './view/read-view.ts';
import type { View } from './view/view.ts';

const EXIT_ERRORS = 1;
const EXIT_BLIND = 2;

const ORDER = ['error', 'warning', 'info'];
/** Between two looks: a running agent repairs within half a second, and an ADD or DEL takes some milliseconds. */
const SECOND_LOOK_MS = 900;
/** After so long there is no second look: the doctor ends within ten seconds, on a busy machine as well. */
const LATE_MS = 7500;

/**
 * Looks and writes what it found. Resolves to the exit code: 0 without errors, 1 with one, 2 when the kernel does not answer.
 * Rejects when nothing can be looked at.
 */
export async function doctor(
  options: Options,
  argv: readonly string[],
  env: Environment,
  write: (text: string) => void,
): Promise<number> {
  const processes = agentsInDetail();
  const sys = openKoffiSyscalls();
  const tools = { sys, netlink: openNetlink(sys), nft: nftProgram(), log: silent, clock: systemClock, env };
  const { view, drafts } = await examine(optionsOf(options, argv, env, processes), processes, tools);
  const findings = causesOnly(drafts)
    .map((draft) => finished(draft, view.node))
    .toSorted((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
  write(options.json ? `${printableJson(JSON.stringify({ findings }, null, 2))}\n` : findingsText(view.node, findings));
  return exitCode(view, findings);
}

function exitCode({ kernel }: View, findings: readonly Finding[]): number {
  if (kernel === undefined) return EXIT_BLIND;
  return findings.some(({ severity }) => severity === 'error') ? EXIT_ERRORS : 0;
}

async function examine(options: Options, processes: readonly AgentDetails[], tools: ViewTools & TryTools) {
  const beganMs = tools.clock.now();
  const first = await readView(options, processes, tools);
  const startMs = tools.clock.now();
  const tried = await tryPackets(first, options, tools);
  const view = { ...first, failures: [...first.failures, ...tried.failures] };
  const seen = judge(view);
  const told = first.agent.state === 'answers' ? (first.agent.report.findings ?? []) : [];
  const byPackets = [...tried.local, ...withHistory(tried.peers, told)];
  if (seen.length === 0 || tools.clock.now() - beganMs > LATE_MS) {
    return { view, drafts: once([...whileStarting(first, seen), ...byPackets]) };
  }
  const waitMs = Math.max(0, startMs + SECOND_LOOK_MS - tools.clock.now());
  await new Promise<void>((resolve) => void tools.clock.after(waitMs, resolve));
  const second = await readView(options, processes, tools, first.agent);
  const stays = lasting(seen, judge({ ...second, failures: view.failures }));
  return { view, drafts: once([...whileStarting(second, stays), ...byPackets]) };
}

function judge(view: View): Draft[] {
  return CHECKS.flatMap((check) => check(view));
}

/**
 * The options of the running agent, and over them those given to the doctor: in the agent's container nobody repeats the flags.
 * An agent whose command line cannot be read, or is of another version, is left out.
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
      // the next one, or what was given
    }
  }
  return given;
}

/** What the doctor has to say is in its findings. */
const silent: Logger = {
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined,
};
