// Asks a node's agent: executes a sub-command of flanneld in the agent's container, with the agent's own arguments, so that it uses the
// same files and the same store.

import { isJsonObject, type JsonObject, parseJson } from '../../../lib/json.ts';
import { printable } from '../../../lib/printable.ts';
import type { KubeAccess } from '../../subnet/kube/api.ts';
import { agentOf, type ClusterNode } from './agents.ts';
import { type ExecLimits, execInPod } from './exec-in-pod.ts';

/**
 * The JSON object that `flanneld COMMAND --json` prints. The exit code is ignored, since it only says whether the node has a problem.
 * Rejects with flanneld's own message when there is no object.
 */
export async function askAgent(
  access: KubeAccess,
  node: ClusterNode,
  command: readonly string[],
  limits: ExecLimits,
): Promise<JsonObject> {
  const agent = agentOf(node);
  const [program = '', ...flags] = agent.argv;
  const argv = [program, ...command, '--json', ...flags];
  const { exitCode, stdout, stderr } = await execInPod(access, agent, argv, limits);
  const said = firstLine(stderr);
  if (stdout.trim() === '') {
    throw new Error(`flanneld ${command.join(' ')}: ${said === '' ? `exit code ${exitCode}, no answer` : said}`);
  }
  const answer = parseJson(stdout);
  if (!isJsonObject(answer)) throw new Error(`flanneld ${command.join(' ')}: the answer is no JSON object`);
  return answer;
}

function firstLine(text: string): string {
  return printable((text.trim().split('\n', 1)[0] ?? '').replace(/^flanneld: /, '').slice(0, 300));
}
