// The steps of one examination of a node: a view, packets, a second view. It ends in time whatever hangs: the findings so far are reported,
// with what was not done.

import type { Clock } from '../../lib/clock-node.ts';
import type { Options } from '../cli/options.ts';
import { stretched } from '../cli/time-factor.ts';
import { CHECKS } from './checks/all.ts';
import type { Draft } from './draft.ts';
import { lasting, once, whileStarting, withHistory } from './settle.ts';
import { tryPackets } from './tries/tries.ts';
import type { TryTools } from './tries/try-tools.ts';
import type { AgentDetails } from './view/agent-facts.ts';
import { readView, type ViewTools } from './view/read-view.ts';
import type { View } from './view/view.ts';

/** The time between two views: a running agent repairs within half a second, and an ADD or DEL takes some milliseconds. */
const SECOND_LOOK_MS = 900;
/** When this much time has passed there is no second view. */
const LATE_MS = 7500;
/** The doctor ends within ten seconds; the last second is for removing what it has made. */
const LIMIT_MS = 9000;
const TAKE_BACK_MS = 700;

export interface Examined {
  /** Undefined when not even the first view was complete. */
  readonly view: View | undefined;
  readonly drafts: readonly Draft[];
}

/** What is known so far. */
interface Progress {
  step: string;
  view: View | undefined;
  drafts: readonly Draft[];
}

/** The second function waits until everything that was made is removed, but not for long. */
export async function examineInTime(
  options: Options,
  processes: readonly AgentDetails[],
  tools: ViewTools & TryTools,
): Promise<{ readonly examined: Examined; readonly takeBack: () => Promise<void> }> {
  const progress: Progress = { step: 'the examination of the node', view: undefined, drafts: [] };
  const work = examine(options, processes, tools, progress);
  const isWhole = await endsWithin(work, stretched(LIMIT_MS), tools.clock);
  const { step, view, drafts } = progress;
  const late: Draft = {
    id: 'not-looked-at',
    cause: 'the doctor could not examine everything in time',
    evidence: `${step} had not ended after ${LIMIT_MS / 1000} s`,
    fix: 'find out what makes this node slow, and run the doctor again; `--peer NAME` asks one peer only',
  };
  return {
    examined: { view, drafts: isWhole ? drafts : once([...drafts, late]) },
    takeBack: async () => {
      if (!isWhole) await endsWithin(work, TAKE_BACK_MS, tools.clock).catch(() => undefined);
    },
  };
}

/** Whether `work` ends within that time. Rejects when `work` does. */
async function endsWithin(work: Promise<unknown>, limitMs: number, clock: Clock): Promise<boolean> {
  let cancel: () => void = () => undefined;
  const isLate = new Promise<false>((resolve) => {
    cancel = clock.after(limitMs, () => resolve(false));
  });
  try {
    return await Promise.race([work.then(() => true as const), isLate]);
  } finally {
    cancel();
  }
}

async function examine(
  options: Options,
  processes: readonly AgentDetails[],
  tools: ViewTools & TryTools,
  progress: Progress,
): Promise<void> {
  const beganMs = tools.clock.now();
  const first = await readView(options, processes, tools);
  const startMs = tools.clock.now();
  Object.assign(progress, { step: 'the packets to peers', view: first, drafts: whileStarting(first, judge(first)) });
  const tried = await tryPackets(first, options, tools);
  const view = { ...first, failures: [...first.failures, ...tried.failures] };
  const seen = judge(view);
  const told = first.agent.state === 'answers' ? (first.agent.report.findings ?? []) : [];
  const byPackets = [...tried.local, ...withHistory(tried.peers, told)];
  const drafts = once([...whileStarting(first, seen), ...byPackets]);
  Object.assign(progress, { step: 'the second examination', view, drafts });
  if (seen.length === 0 || tools.clock.now() - beganMs > stretched(LATE_MS)) return;
  const waitMs = Math.max(0, startMs + SECOND_LOOK_MS - tools.clock.now());
  await new Promise<void>((resolve) => void tools.clock.after(waitMs, resolve));
  const second = await readView(options, processes, tools, first.agent);
  // A finding that is missing because something could not be read this time may still hold.
  if (second.failures.length > first.failures.length) return;
  const stays = lasting(seen, judge({ ...second, failures: view.failures }));
  progress.drafts = once([...whileStarting(second, stays), ...byPackets]);
}

function judge(view: View): Draft[] {
  return CHECKS.flatMap((check) => check(view));
}
