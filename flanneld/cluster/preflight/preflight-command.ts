// `kubectl weft preflight`: whether every node is fit for Weft, before it is installed. A pod a node executes `flanneld preflight`; all
// are removed however it ends.

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
import { PREFLIGHT_LABEL, preflightCommand, preflightPod, preflightPodName } from './preflight-pods.ts';

const NAMESPACE = 'kube-system';
const POLL_MS = 500;
const REMOVE_MS = 30_000;

/** Exit code 0 when all nodes are fit, 1 when one is not, 2 when one could not be asked. */
export async function preflightCommandOfAll(around: Surroundings): Promise<number> {
  const { api, options, progress, signal, say } = around;
  const { nodes, nodeObjects } = await findCluster(api, undefined, signal);
  const image = options.image ?? nodes.find(({ agent }) => agent !== undefined)?.agent?.image;
  if (image === undefined) throw new Error('no DaemonSet of Weft names its image: give it with --image');
  const pods = `/api/v1/namespaces/${options.namespace ?? NAMESPACE}/pods`;
  say(`making a pod on each of ${nodes.length} nodes in namespace ${options.namespace ?? NAMESPACE}`);
  const ask = (node: ClusterNode): Promise<Finding[]> => askNode(around, pods, image, node, nodes);
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
  pods: string,
  image: string,
  node: ClusterNode,
  nodes: readonly ClusterNode[],
): Promise<Finding[]> {
  const { api, options, signal } = around;
  const name = preflightPodName(node.name);
  // One of this name was left by a command that was killed.
  await removePod(around, pods, name);
  try {
    await api.create(pods, preflightPod(node.name, image), signal);
    await untilRunning(around, `${pods}/${name}`);
    const container = { namespace: options.namespace ?? NAMESPACE, pod: name, container: 'preflight' };
    const run = { timeoutMs: options.timeoutMs, signal };
    const { stdout, stderr } = await execInPod(api.access, container, preflightCommand(node, nodes), run);
    const answer = stdout.startsWith('{') ? parseJson(stdout) : undefined;
    if (!isJsonObject(answer)) throw new Error(stderr.trim().split('\n')[0] || 'no answer');
    return readFindings(answer, node.name);
  } finally {
    await removePod(around, pods, name).catch((error: unknown) =>
      around.say(`pod ${name} is not removed: ${errorText(error)}; it ends by itself in ten minutes`),
    );
  }
}

async function untilRunning({ api, options, signal }: Surroundings, path: string): Promise<void> {
  const until = Date.now() + options.timeoutMs;
  for (;;) {
    const status = fieldsOf((await api.get(path, signal))['status']);
    const [container] = listOf(status['containerStatuses']);
    const state = fieldsOf(container?.['state']);
    if ('running' in state) return;
    const { reason, message } = fieldsOf(state['waiting'] ?? state['terminated']);
    const why = [textOf(reason), textOf(message)].filter(Boolean).join(': ') || `phase ${textOf(status['phase'])}`;
    if (Date.now() > until || 'terminated' in state) throw new Error(`its pod does not run: ${why}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Of its own time, because it runs after Ctrl-C, too. Resolves when the pod is gone. */
async function removePod({ api }: Surroundings, pods: string, name: string): Promise<void> {
  const signal = AbortSignal.timeout(REMOVE_MS);
  await api.remove(`${pods}/${name}?gracePeriodSeconds=1`, signal);
  const [key, value] = Object.entries(PREFLIGHT_LABEL)[0] ?? [];
  for (;;) {
    const left = await api.list(
      pods,
      { labelSelector: `${key}=${value}`, fieldSelector: `metadata.name=${name}` },
      signal,
    );
    if (left.length === 0) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** The agent takes its subnet from there, and would wait for it. */
function withoutPodCidr(objects: readonly Fields[], nodes: readonly ClusterNode[]): Finding[] {
  const names = new Set(nodes.map(({ name }) => name));
  return objects.flatMap((object) => {
    const node = textOf(fieldsOf(object['metadata'])['name']);
    if (!names.has(node) || textOf(fieldsOf(object['spec'])['podCIDR']) !== '') return [];
    const cause = 'the Node has no podCIDR';
    const evidence = `kubectl get node ${node} -o jsonpath={.spec.podCIDR}: empty`;
    const fix = 'kube-controller-manager: --allocate-node-cidrs, with --cluster-cidr as Network in net-conf.json';
    return [{ id: 'pod-cidr-unusable', severity: 'error', node, cause, evidence, fix } as const];
  });
}
