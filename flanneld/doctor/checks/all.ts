// All checks, in the order in which their findings are shown among findings of one severity.

import type { Draft } from '../draft.ts';
import type { View } from '../view/view.ts';
import { checkAgent } from './agent.ts';
import { checkForwarding } from './forwarding.ts';
import { checkSubnetFile } from './subnet-file.ts';
import { checkUnread } from './unread.ts';

/** A pure function of the view. */
export type Check = (view: View) => Draft[];

export const CHECKS: readonly Check[] = [checkAgent, checkForwarding, checkSubnetFile, checkUnread];
