// Whether the agent of this node runs, answers, and is ready.

import { type Draft, run } from '../draft.ts';
import type { View } from '../view/view.ts';

const WORDS: Readonly<Record<string, string>> = {
  T: 'stopped by a signal',
  t: 'stopped by a debugger',
  D: 'waiting for the disk or the kernel',
  R: 'busy',
  S: 'sleeping',
  Z: 'dead, and its parent has not noticed',
};

export function checkAgent(view: View): Draft[] {
  const { agent, node, subnetFile } = view;
  switch (agent.state) {
    case 'answers':
      return notReady(view);
    case 'silent': {
      const { pid, processState: state } = agent;
      const process =
        pid === undefined ? '' : `; process ${pid} is in state ${state} (${WORDS[state ?? ''] ?? 'unknown'})`;
      const isStopped = state === 'T' && pid !== undefined;
      return [
        {
          id: 'agent-unresponsive',
          cause: 'the agent of this node has a status socket and does not answer',
          evidence: `no answer on ${subnetFile}.sock within 2 s${process}`,
          fix: isStopped
            ? run(node, `kill -CONT ${pid}`, 'find out who stopped it')
            : `on ${node}: restart the agent; where it runs as a pod, kubectl delete that pod`,
        },
      ];
    }
    case 'without socket':
      return [
        {
          id: 'agent-not-ready',
          cause:
            'the agent of this node runs but cannot be asked, because it is starting or could not open its status socket',
          evidence: `process ${agent.pid}; ${agent.why}`,
          fix: `on ${node}: read the agent’s log`,
        },
      ];
    case 'absent':
      return [
        {
          id: 'agent-not-running',
          cause:
            'no agent runs on this node, so nothing follows the cluster’s changes or repairs what other programs change',
          evidence: `${agent.why}; there is no process of flanneld in this network namespace`,
          fix: `on ${node}: start flanneld; the last line of its log (kubectl logs -p) says why it ended`,
        },
      ];
  }
}

/** The failing required checks as one finding. What the doctor checks itself is reported by other findings as well. */
function notReady({ agent, node }: View): Draft[] {
  if (agent.state !== 'answers' || agent.report.ready) return [];
  const failing = agent.report.checks.filter(({ required, problem }) => required && problem !== undefined);
  return [
    {
      id: 'agent-not-ready',
      cause: 'the agent of this node says that the node does not forward yet, or no longer',
      evidence: failing.map(({ name, problem }) => `${name}: ${problem}`).join('; ') || 'the agent gives no reason',
      fix: `on ${node}: end the reason that the evidence names; the agent then tries again by itself`,
    },
  ];
}
