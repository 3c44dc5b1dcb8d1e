// `kubectl weft preflight`: checks whether every node is fit for Weft, before it is installed. A Job's pod on each node executes `flanneld
// preflight`; all Jobs are removed however the command ends.

import { errorText } from '../../../lib/errors.ts';
import { isJsonObject, parseJson } from '../../../lib/json.ts';
import { printable } from '../../../lib/printable.ts';
import type { Finding } from '../../health/finding.ts';
import { type ClusterNode, findCluster } from '../ask/agents.ts';
import { askAll } from '../ask/bounded.ts';
import { type Fields, fieldsOf, listOf, textOf } from '../ask/cluster-api.ts';
import { execInPod } from '../ask/exec-in-pod.ts';
import { jsonText } from '../commands.ts';
import { findingsText } from '../findings/findings-text.ts';
import { mergeFindings } from '../findings/merge-findings.ts';
import { readFindings } from '../findings/read-findings.ts';
import type { Surroundings } from '../surroundings.ts';
import { preflightCommand, preflightJob, preflightJobName } from './preflight-jobs.ts';

const NAMESPACE = 'kube-system';
const POLL_MS = 500;
const REMOVE_MS = 30_000;

/** Exit code 0 when all nodes are fit, 1 when one is not, 2 when one could not be asked. */
export async function preflightCommandOfAll(around: Surroundings): Promise<number> {
  const { api, options, progress, signal, say } = around;
  const { nodes, nodeObjects } = await findCluster(api, undefined, signal);
  const image = options.image ?? nodes.find(({ agent }) => agent !== undefined)?.agent?.image;
  if (image === undefined) throw new Error('there is no DaemonSet of Weft that names the image: name it by --image');
  say(`making one Job for each of ${nodes.length} nodes in namespace ${options.namespace ?? NAMESPACE}`);
  const ask = (node: ClusterNode): Promise<Finding[]> => askNode(around, image, node, nodes);
  const answers = await askAll({
    items: nodes,
    parallel: options.parallel,
    nodeOf: ({ name }) => name,
    ask,
    progress,
    signal,
  });
  const found = answers.flatMap((answer) => ('value' in answer ? answer.value : []));
  const merged = mergeFindings([...withoutPodCidr(nodeObjects, nodes), ...found]);
  const unanswered = answers.flatMap((answer) => ('problem' in answer ? [answer] : []));
  const unfit = new Set(merged.filter(({ severity }) => severity === 'error').flatMap((one) => one.nodes));
  const verdict = verdictOf(nodes.length, unfit.size, unanswered.length);
  around.print(
    options.json
      ? jsonText({ verdict, findings: merged, unanswered })
      : `${findingsText(merged, answers)}${printable(verdict)}\n`,
  );
  if (unfit.size > 0) return 1;
  return unanswered.length === 0 ? 0 : 2;
}

function verdictOf(all: number, unfit: number, silent: number): string {
  const asked = silent === 0 ? '' : `, ${silent} did not answer`;
  if (unfit > 0) return `${unfit} of ${all} nodes are not fit for Weft${asked}`;
  return silent === 0
    ? `all ${all} nodes are fit for Weft`
    : `${all - silent} of ${all} nodes are fit for Weft${asked}`;
}

async function askNode(
  around: Surroundings,
  image: string,
  node: ClusterNode,
  nodes: readonly ClusterNode[],
): Promise<Finding[]> {
  const { api, options, signal } = around;
  const namespace = options.namespace ?? NAMESPACE;
  const jobs = `/apis/batch/v1/namespaces/${namespace}/jobs`;
  const name = preflightJobName(node.name);
  // A Job of this name may be left from a command that was killed.
  await removeJob(around, namespace, name);
  try {
    await api.create(jobs, preflightJob(node.name, image), signal);
    const pod = await runningPod(around, namespace, name);
    const container = { namespace, pod, container: 'preflight' };
    const run = { timeoutMs: options.timeoutMs, signal };
    const { stdout, stderr } = await execInPod(api.access, container, preflightCommand(node, nodes), run);
    const answer = stdout.startsWith('{') ? parseJson(stdout) : undefined;
    if (!isJsonObject(answer)) throw new Error(stderr.trim().split('\n')[0] || 'no answer');
    return readFindings(answer, node.name);
  } finally {
    await removeJob(around, namespace, name).catch((error: unknown) =>
      around.say(`Job ${name} could not be removed: ${errorText(error)}; it removes itself within ten minutes`),
    );
  }
}

async function podsOf({ api }: Surroundings, namespace: string, job: string, signal: AbortSignal): Promise<Fields[]> {
  return await api.list(`/api/v1/namespaces/${namespace}/pods`, { labelSelector: `job-name=${job}` }, signal);
}

/** The name of the Job's pod once its container runs. */
async function runningPod(around: Surroundings, namespace: string, job: string): Promise<string> {
  const { options, signal } = around;
  const until = Date.now() + options.timeoutMs;
  for (;;) {
    const [pod] = await podsOf(around, namespace, job, signal);
    const status = fieldsOf(pod?.['status']);
    const [container] = listOf(status['containerStatuses']);
    const state = fieldsOf(container?.['state']);
    if ('running' in state) return textOf(fieldsOf(pod?.['metadata'])['name']);
    const { reason, message } = fieldsOf(state['waiting'] ?? state['terminated']);
    const phase = pod === undefined ? 'the Job has made no pod' : `phase ${textOf(status['phase'])}`;
    const why = [textOf(reason), textOf(message)].filter(Boolean).join(': ') || phase;
    if (Date.now() > until || 'terminated' in state) throw new Error(`its pod does not run: ${why}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Resolves when the Job and its pod are gone. Its time limit does not depend on Ctrl-C, because it also runs after that. */
async function removeJob(around: Surroundings, namespace: string, name: string): Promise<void> {
  const { api } = around;
  const signal = AbortSignal.timeout(REMOVE_MS);
  await api.remove(`/apis/batch/v1/namespaces/${namespace}/jobs/${name}?propagationPolicy=Background`, signal);
  while ((await podsOf(around, namespace, name, signal)).length > 0) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** The agent takes its subnet from the Node's podCIDR, and would wait for it. */
function withoutPodCidr(objects: readonly Fields[], nodes: readonly ClusterNode[]): Finding[] {
  const names = new Set(nodes.map(({ name }) => name));
  return objects.flatMap((object) => {
    const node = textOf(fieldsOf(object['metadata'])['name']);
    if (!names.has(node) || textOf(fieldsOf(object['spec'])['podCIDR']) !== '') return [];
    const cause = 'the Node has no podCIDR';
    const evidence = `kubectl get node ${node} -o jsonpath={.spec.podCIDR}: empty`;
    const fix =
      'start kube-controller-manager with --allocate-node-cidrs, and with the Network of net-conf.json as --cluster-cidr';
    return [{ id: 'pod-cidr-unusable', severity: 'error', node, cause, evidence, fix } as const];
  });
}
