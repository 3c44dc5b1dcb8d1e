// What the doctor could not read, so that a missing finding is not mistaken for health.

import type { Draft } from '../draft.ts';
import type { View } from '../view/view.ts';

export function checkUnread({ failures, node }: View): Draft[] {
  if (failures.length === 0) return [];
  return [
    {
      id: 'not-looked-at',
      cause: 'the doctor could not examine everything',
      evidence: failures.join('; '),
      fix: `on ${node}: run the doctor as root with the agent’s flags, or in the agent’s container`,
    },
  ];
}
