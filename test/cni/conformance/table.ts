// All cases, in the order of the contract's rows.

import type { Case } from './case.ts';
import { bandwidthCases } from './cases/bandwidth.ts';
import { bridgeAddCases } from './cases/bridge-add.ts';
import { bridgeAddressCases } from './cases/bridge-address.ts';
import { bridgeCheckCases } from './cases/bridge-check.ts';
import { bridgeConfigCases } from './cases/bridge-config.ts';
import { bridgeDelCases } from './cases/bridge-del.ts';
import { chainCases } from './cases/chain.ts';
import { flannelAddCases } from './cases/flannel-add.ts';
import { flannelDelCases } from './cases/flannel-del.ts';
import { allocateCases } from './cases/host-local-allocate.ts';
import { requestCases } from './cases/host-local-request.ts';
import { storeCases } from './cases/host-local-store.ts';
import { loopbackCases } from './cases/loopback.ts';
import { portmapConfigCases } from './cases/portmap-config.ts';
import { portmapNftablesCases } from './cases/portmap-nftables.ts';
import { portmapRuleCases } from './cases/portmap-rules.ts';
import { portmapTrafficCases } from './cases/portmap-traffic.ts';
import { configCases } from './cases/protocol-config.ts';
import { environmentCases } from './cases/protocol-environment.ts';

export const allCases: readonly Case[] = [
  ...environmentCases,
  ...configCases,
  ...flannelAddCases,
  ...flannelDelCases,
  ...bridgeAddCases,
  ...bridgeAddressCases,
  ...bridgeConfigCases,
  ...bridgeDelCases,
  ...bridgeCheckCases,
  ...allocateCases,
  ...requestCases,
  ...storeCases,
  ...portmapConfigCases,
  ...portmapRuleCases,
  ...portmapNftablesCases,
  ...portmapTrafficCases,
  ...loopbackCases,
  ...bandwidthCases,
  ...chainCases,
];
