// The report of a node's agent, and whether the pods of a lab reach each other.

import type { StatusReport } from '../../../flanneld/health/status/report.ts';
import { SUBNET_FILE } from '../contract.ts';
import type { Lab } from '../lab.ts';
import type { LabNode } from '../lab-node.ts';
import { failed } from '../matrix.ts';
import { waitUntil } from '../processes.ts';
import { builtAgent } from '../programs.ts';

const REACH_MS = 20_000;

/** `flanneld status --json` on the node. */
export async function statusReport(node: LabNode): Promise<StatusReport> {
  const argv = [process.execPath, builtAgent, 'status', '--json', `--subnet-file=${SUBNET_FILE}`];
  const { stdout, stderr } = await node.exec(argv);
  // Its exit code is also 1 when the node is not ready.
  if (!stdout.startsWith('{')) throw new Error(`status on ${node.name}: ${stderr.trim()}`);
  return JSON.parse(stdout) as StatusReport;
}

/** Waits until every pod reaches every other. */
export async function allPodsReach(lab: Lab): Promise<void> {
  await waitUntil(async () => failed(await lab.matrix()).length === 0, REACH_MS, 'all pods to reach each other');
}
