// Every problem that the doctor can find, and how to make it on node-1 of a lab.

import { AGENT_PROBLEMS, KERNEL_PROBLEMS } from './agent-and-devices.ts';
import { FILES_PROBLEMS } from './files.ts';
import { FIREWALLS_PROBLEMS } from './firewalls.ts';
import { LEASES_PROBLEMS } from './leases.ts';
import { PATHS_PROBLEMS } from './paths.ts';
import { POD_SIDE_PROBLEMS } from './pod-side.ts';
import type { Problem } from './problem.ts';

export const PROBLEMS: readonly Problem[] = [
  ...AGENT_PROBLEMS,
  ...KERNEL_PROBLEMS,
  ...PATHS_PROBLEMS,
  ...POD_SIDE_PROBLEMS,
  ...FILES_PROBLEMS,
  ...LEASES_PROBLEMS,
  ...FIREWALLS_PROBLEMS,
];
