// Makes a problem on a node, sees it named, ends it as the finding says, and sees that nothing is left.

import { expect } from 'vitest';
import type { LabNode } from '../lab/lab-node.ts';
import { commandOf, doctor, expectHealthy, FLAGS_OF_LAB, findingOf } from '../support/doctor.ts';
import type { Problem } from './problems.ts';

export async function seeProblem(node: LabNode, { id, agent, make, undo, says }: Problem): Promise<void> {
  const flags = agent === 'is killed' ? FLAGS_OF_LAB : [];
  if (agent === 'is killed') await node.agent.kill();
  if (agent === 'is stopped') await signal(node, 'STOP');
  try {
    if (make !== undefined) await node.run(['sh', '-c', make]);
    const finding = await findingOf(node, id, flags);
    expect(finding.node).toBe(node.name);
    const text = [finding.cause, finding.evidence, finding.fix].join('\n');
    for (const words of says) expect(text).toContain(words);
    if (finding.severity === 'error') expect((await doctor(node, flags)).exitCode).toBe(1);
    const command = commandOf(finding);
    if (undo === undefined && command === undefined) throw new Error(`no command in the fix: ${finding.fix}`);
    if (undo === undefined) await node.run(['sh', '-c', command ?? 'false']);
    else await undo(node);
  } finally {
    if (agent === 'is stopped') await signal(node, 'CONT');
    if (agent === 'is killed') await backAgain(node);
  }
  await expectHealthy(node);
  const left = (await doctor(node)).findings.filter((finding) => finding.id === id);
  expect(left).toEqual([]);
}

async function signal(node: LabNode, name: 'STOP' | 'CONT'): Promise<void> {
  const { pid } = await node.agent.state();
  await node.run(['kill', `-${name}`, String(pid)]);
}

async function backAgain(node: LabNode): Promise<void> {
  if ((await node.agent.state()).running) return;
  await node.agent.start();
  await node.agent.ready();
}
