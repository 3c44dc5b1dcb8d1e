// All cases, in the order of the contract's rows.

import type { Case } from './case.ts';
import { flannelAddCases } from './cases/flannel-add.ts';
import { flannelDelCases } from './cases/flannel-del.ts';
import { configCases } from './cases/protocol-config.ts';
import { environmentCases } from './cases/protocol-environment.ts';

export const allCases: readonly Case[] = [...environmentCases, ...configCases, ...flannelAddCases, ...flannelDelCases];
