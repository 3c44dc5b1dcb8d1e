// One fault, many times: each round has a flow of its own, and a round the machine disturbed is repeated.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Flow } from '../probe/flow.ts';
import { MAX_OWN_GAP_MS } from '../probe/flow.ts';
import { agentPid, longestWaitMs, processorWaits } from './agent-process.ts';
import type { Fault } from './faults.ts';
import type { Site } from './site.ts';

export interface Round {
  /** Packets lost, at most (see FlowResult). */
  readonly lost: number;
  /** From the start of the command that did the damage until every object was as it should be. */
  readonly healedMs: number;
  /** Longest time the probe did not run. */
  readonly ownGapMs: number;
  /** How long the agent was ready to run and got no processor; 0 where nothing depends on it. */
  readonly agentWaitMs: number;
}

export interface Rounds<R extends Round> {
  readonly rounds: readonly R[];
  /** Disturbed rounds, which were done again. */
  readonly repeated: number;
}

/** Half of the tightest limit: what other programs took from the agent is no cost of the fault. */
const MAX_AGENT_WAIT_MS = 10;
const BEFORE_MS = 100;
const HEAL_TIMEOUT_MS = 10_000;
/** The flow is over when so many packets have arrived in a row after the fault. */
const AFTER_IN_ROW = 100;
/** The agent answers five repairs at once, then one a second: faults come no faster than a person makes them. */
const PACE_MS = 1500;
/** Of the rounds wanted; a machine that disturbs more than these is not fit for measuring. */
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
  /** Of those, after the fault and with no agent to heal it: must be none. */
  readonly received: number;
  readonly restoredMs: number;
}

/** The same fault with the agent stopped: shows that the fault is one, and that a starting agent heals it. */
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

/** The same fault with the agent stopped, where the kernel itself heals it: what it costs without us. */
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
