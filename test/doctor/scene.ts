// Makes a problem on a node, checks that the doctor finds it, ends it as the finding says, and checks that nothing is left.

import { expect } from 'vitest';
import type { Finding } from '../../flanneld/health/finding.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { commandOf, doctor, expectHealthy, FLAGS_OF_LAB, findingOf } from '../support/doctor.ts';
import { needs } from '../support/needs.ts';
import type { Problem } from './problems/problem.ts';

const LOOK_MS = 30_000;

export async function seeProblem(node: LabNode, problem: Problem): Promise<void> {
  const { id, agent, env, make, after, says } = problem;
  if (problem.needs !== undefined) {
    const { exitCode } = await node.exec(['sh', '-c', problem.needs]);
    needs.machine(exitCode === 0, problem.needs);
  }
  const flags = agent === 'is killed' ? FLAGS_OF_LAB : [];
  if (agent === 'is killed') await node.agent.kill();
  if (agent === 'is stopped') await signal(node, 'STOP');
  try {
    if (make !== undefined) await shell(node, make);
    const finding = await findingOf(node, id, flags, env);
    expect(finding.node).toBe(node.name);
    const text = [finding.cause, finding.evidence, finding.fix].join('\n');
    for (const words of says) expect(text).toContain(words);
    if (finding.severity === 'error') expect((await doctor(node, flags, env)).exitCode).toBe(1);
    await end(node, problem, finding);
    await isGone(node, id, flags);
  } finally {
    if (after !== undefined) await shell(node, after);
    if (agent === 'is stopped') await signal(node, 'CONT');
    if (agent === 'is killed') await backAgain(node);
  }
  await expectHealthy(node);
}

async function shell(node: LabNode, commands: string): Promise<void> {
  await node.run(['sh', '-c', commands]);
}

async function end(node: LabNode, { agent, end: how }: Problem, finding: Finding): Promise<void> {
  if (how === 'restart') {
    if (agent === 'runs') await node.agent.kill();
    return await backAgain(node);
  }
  if (how !== 'fix') return await shell(node, how);
  const command = commandOf(finding);
  if (command === undefined) throw new Error(`no command of ${node.name} in the fix: ${finding.fix}`);
  await shell(node, command);
}

async function isGone(node: LabNode, id: string, flags: readonly string[]): Promise<void> {
  let left: readonly Finding[] = [];
  const isOver = async (): Promise<boolean> => {
    left = (await doctor(node, flags)).findings.filter((finding) => finding.id === id);
    return left.length === 0;
  };
  await waitUntil(isOver, LOOK_MS, `the end of ${id}`).catch(() => undefined);
  expect(left).toEqual([]);
}

async function signal(node: LabNode, name: 'STOP' | 'CONT'): Promise<void> {
  const { pid } = await node.agent.state();
  await shell(node, `kill -${name} ${pid}`);
}

async function backAgain(node: LabNode): Promise<void> {
  if ((await node.agent.state()).running) return;
  await node.agent.start();
  await node.agent.ready();
}
