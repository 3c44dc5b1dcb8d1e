// Repeats one fault many times. Each round has a flow of its own, and a round that the machine disturbed is repeated.

import { setTimeout as sleep } from 'node:timers/promises';
import { agentPid, longestWaitMs, processorWaits } from './agent-process.ts';
import type { Fault } from './faults.ts';
import type { Flow } from './probe/flow.ts';
import { MAX_OWN_GAP_MS } from './probe/flow.ts';
import type { Site } from './site.ts';

export interface Round {
  /** An upper bound for the packets lost (see FlowResult). */
  readonly lost: number;
  /** The time from the start of the harmful command until every object was right again. */
  readonly healedMs: number;
  /** The longest time for which the probe did not run. */
  readonly ownGapMs: number;
  /** How long the agent was ready to run but got no processor; 0 where this does not matter. */
  readonly agentWaitMs: number;
}

export interface Rounds<R extends Round> {
  readonly rounds: readonly R[];
  /** The number of disturbed rounds, which were repeated. */
  readonly repeated: number;
}

/** A round with a longer wait is repeated: that time was taken by other programs. This is half of the tightest limit. */
const MAX_AGENT_WAIT_MS = 10;
const BEFORE_MS = 100;
const HEAL_TIMEOUT_MS = 10_000;
/** A flow has recovered when this many packets in a row have arrived after the fault. */
const AFTER_IN_ROW = 100;
/** The time between faults. The agent makes five repairs at once, then one a second, so faults must not come faster. */
const PACE_MS = 1500;
/** Rounds are tried at most this many times the wanted number. A machine that disturbs more is not fit for measuring. */
const MAX_ATTEMPTS = 5;

/** Repeats `round` until `count` were undisturbed. Rejects when the machine disturbs too many. */
export async function repeatRounds<R extends Round>(count: number, round: () => Promise<R>): Promise<Rounds<R>> {
  const rounds: R[] = [];
  let attempts = 0;
  while (rounds.length < count) {
    attempts += 1;
    const result = await round();
    if (result.ownGapMs <= MAX_OWN_GAP_MS && result.agentWaitMs <= MAX_AGENT_WAIT_MS) rounds.push(result);
    else if (attempts >= count * MAX_ATTEMPTS) {
      throw new Error(`${attempts - rounds.length} of ${attempts} rounds were disturbed by the machine`);
    }
  }
  return { rounds, repeated: attempts - count };
}

/** Inflicts the fault under a flow, and waits until both the node and the flow have recovered. */
export async function faultRound(site: Site, fault: Fault): Promise<Round> {
  const paced = sleep(PACE_MS);
  const agent = await agentPid(site.node);
  const flow = await site.flow(fault.path, fault.flow);
  try {
    await sleep(BEFORE_MS);
    const waits = processorWaits(agent);
    const startMs = performance.now();
    await fault.inflict(site);
    await site.untilWhole(HEAL_TIMEOUT_MS);
    const healedMs = performance.now() - startMs;
    const agentWaitMs = longestWaitMs(waits, processorWaits(agent));
    await flow.untilInRow(AFTER_IN_ROW, HEAL_TIMEOUT_MS);
    const { lostAtMost, ownGapMs } = await flow.stop();
    await paced;
    return { lost: lostAtMost, healedMs, ownGapMs, agentWaitMs };
  } finally {
    await flow.abandon();
  }
}

const CONTROL_SETTLE_MS = 50;
const CONTROL_MS = 500;

export interface Control {
  readonly sent: number;
  /** How many of those arrived after the fault while no agent ran. It must be none. */
  readonly received: number;
  readonly restoredMs: number;
}

/** The same fault with the agent stopped. Shows that the fault does harm, and that an agent that starts repairs it. */
export async function controlRound(site: Site, fault: Fault): Promise<Control> {
  await site.node.agent.stop();
  let flow: Flow | undefined;
  try {
    flow = await site.flow(fault.path, fault.flow);
    await fault.inflict(site);
    await sleep(CONTROL_SETTLE_MS);
    const counted = await flow.count(CONTROL_MS);
    const startMs = performance.now();
    await site.node.agent.start();
    await site.untilWhole(HEAL_TIMEOUT_MS);
    const restoredMs = performance.now() - startMs;
    await flow.untilInRow(AFTER_IN_ROW, HEAL_TIMEOUT_MS);
    await site.node.agent.ready();
    return { ...counted, restoredMs };
  } finally {
    await flow?.abandon();
    await site.node.agent.start();
  }
}

/** The same fault with the agent stopped, where the kernel recovers by itself. Shows the cost without Weft. */
export async function aloneRounds(site: Site, fault: Fault, count: number): Promise<Rounds<Round>> {
  await site.node.agent.stop();
  try {
    return await repeatRounds(count, () => aloneRound(site, fault));
  } finally {
    await site.node.agent.start();
    await site.node.agent.ready();
  }
}

async function aloneRound(site: Site, fault: Fault): Promise<Round> {
  const paced = sleep(PACE_MS);
  const flow = await site.flow(fault.path, fault.flow);
  try {
    await sleep(BEFORE_MS);
    await fault.inflict(site);
    await paced;
    await flow.untilInRow(AFTER_IN_ROW, HEAL_TIMEOUT_MS);
    const { lostAtMost, ownGapMs } = await flow.stop();
    return { lost: lostAtMost, healedMs: 0, ownGapMs, agentWaitMs: 0 };
  } finally {
    await flow.abandon();
  }
}
