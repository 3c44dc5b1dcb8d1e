// All checks. Findings of one severity are shown in this order.

import type { Draft } from '../draft.ts';
import type { View } from '../view/view.ts';
import { checkAddressPool } from './address-pool.ts';
import { checkAgent } from './agent.ts';
import { checkAgentKnows } from './agent-knows.ts';
import { checkPodSide } from './bridge-and-ports.ts';
import { checkBridgeNetfilter } from './bridge-netfilter.ts';
import { checkCniFolders } from './cni-folders.ts';
import { checkDevice } from './device.ts';
import { checkPaths } from './diversions.ts';
import { checkForwarding } from './forwarding-settings.ts';
import { checkKernelTables } from './kernel-tables.ts';
import { checkLeases } from './leases.ts';
import { checkOverlaps } from './overlaps.ts';
import { checkPeerObjects } from './peer-objects.ts';
import { checkSubnetFile } from './subnet-file.ts';
import { checkUnderlay } from './underlay.ts';
import { checkUnread } from './unread.ts';
import { checkWireguard } from './wireguard-findings.ts';

/** A pure function of the view. */
export type Check = (view: View) => Draft[];

export const CHECKS: readonly Check[] = [
  checkUnderlay,
  checkAgent,
  checkDevice,
  checkForwarding,
  checkPaths,
  checkOverlaps,
  checkPodSide,
  checkBridgeNetfilter,
  checkSubnetFile,
  checkCniFolders,
  checkAddressPool,
  checkLeases,
  checkPeerObjects,
  checkAgentKnows,
  checkKernelTables,
  checkWireguard,
  checkUnread,
];
