// What only the running agent can know, taken from its report.

import { agentFindings } from '../../health/agent-findings.ts';
import type { Draft } from '../draft.ts';
import { draftOf } from '../settle.ts';
import type { View } from '../view/view.ts';

export function checkAgentKnows({ agent, node, nowMs }: View): Draft[] {
  if (agent.state !== 'answers') return [];
  const { checks, drift, fastPath } = agent.report;
  return agentFindings({ node, checks, drift: drift.entries, fastPath, nowMs }).flatMap(draftOf);
}
