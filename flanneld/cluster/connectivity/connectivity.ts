// `kubectl weft connectivity`: tests which nodes and pods reach which others, with its own pods on a limited number of nodes.

import { randomBytes } from 'node:crypto';
import { errorText } from '../../../lib/errors.ts';
import { isJsonObject, type JsonValue, parseJson } from '../../../lib/json.ts';
import type { Finding } from '../../health/finding.ts';
import { type Answer, askAll } from '../ask/bounded.ts';
import { type Container, execInPod } from '../ask/exec-in-pod.ts';
import { jsonText } from '../commands.ts';
import { mergeFindings } from '../findings/merge-findings.ts';
import { textField } from '../findings/read-findings.ts';
import { type Surroundings, theCluster } from '../surroundings.ts';
import type { CheckAnswer } from './checks.ts';
import { chooseMembers, planTrials, type ReadyMember, type Trial } from './connectivity-plan.ts';
import { connectivityText, findingsOf, notStarted, type Outcome } from './report-text.ts';
import { makeScene, removeScene, removeStale, type Scene } from './scene.ts';

/** The build puts pod-program.ts here, bundled. */
declare const WEFT_POD_PROGRAM: string;

const PODS_MS = 90_000;
/** An answer takes three tries of two seconds for each of about 200 checks, 16 of them at once. */
const CHECKS_MS = 120_000;

/** Exit code 0 when everything can be reached. Whatever it made is removed however it ends. */
export async function connectivityCommand(around: Surroundings): Promise<number> {
  const { api, options, say, signal } = around;
  const { nodes } = await theCluster(around);
  const members = chooseMembers(nodes, options.nodes);
  if (members.length === 0) throw new Error('no node is Ready and has a running agent: see kubectl weft status');
  for (const name of await removeStale(api, Date.now(), signal))
    say(`removing namespace ${name}, which a killed test left behind`);
  const namespace = `weft-connectivity-${randomBytes(4).toString('hex')}`;
  say(`making ${members.length} pods in namespace ${namespace}`);
  let outcomes: Outcome[];
  let findings: Finding[];
  try {
    const scene = await makeScene(api, members, { namespace, program: WEFT_POD_PROGRAM, podsMs: PODS_MS, signal });
    outcomes = await tryAll(around, scene, namespace);
    findings = [...scene.failed.map(notStarted), ...findingsOf(outcomes)];
  } finally {
    await remove(around, namespace);
  }
  const merged = mergeFindings(findings);
  around.print(options.json ? jsonText({ outcomes, findings: merged }) : connectivityText(members, outcomes, merged));
  return merged.length === 0 ? 0 : 1;
}

async function remove({ api, say }: Surroundings, namespace: string): Promise<void> {
  const byHand = `kubectl delete namespace ${namespace}`;
  try {
    say(`removing namespace ${namespace}`);
    if (!(await removeScene(api, namespace)))
      say(`namespace ${namespace} is not gone yet; if it stays, run: ${byHand}`);
  } catch (error) {
    say(`namespace ${namespace} could not be removed: ${errorText(error)}; run: ${byHand}`);
  }
}

/** Each pod and each node runs all its checks in one call. */
async function tryAll(around: Surroundings, { ready }: Scene, namespace: string): Promise<Outcome[]> {
  const { options, progress, signal } = around;
  const trials = planTrials(ready, namespace, options.without);
  const runs = ready.flatMap((member) =>
    (['pod', 'node'] as const).map((where) => ({
      member,
      where,
      trials: trials.filter((trial) => trial.from === member.node.name && trial.where === where),
    })),
  );
  const answers = await askAll({
    items: runs.filter((run) => run.trials.length > 0),
    parallel: options.parallel,
    nodeOf: ({ member }) => member.node.name,
    ask: async (run) => await tryOne(around, containerOf(run.member, run.where, namespace), run.trials),
    progress,
    signal,
  });
  return runs.filter((run) => run.trials.length > 0).flatMap((run, at) => outcomesOf(run.trials, answers[at]));
}

function containerOf({ name, agent }: ReadyMember, where: Trial['where'], namespace: string): Container {
  return where === 'node' ? agent : { namespace, pod: name, container: 'test' };
}

async function tryOne(
  { api, signal }: Surroundings,
  container: Container,
  trials: readonly Trial[],
): Promise<CheckAnswer[]> {
  const argv = ['node', '-e', WEFT_POD_PROGRAM, 'check', JSON.stringify(trials.map(({ check }) => check))];
  const { exitCode, stdout, stderr } = await execInPod(api.access, container, argv, { timeoutMs: CHECKS_MS, signal });
  if (exitCode !== 0) throw new Error(`node ended with ${exitCode}: ${stderr.trim().split('\n')[0] ?? ''}`);
  const answer = parseJson(stdout);
  return Array.isArray(answer) ? (answer as readonly JsonValue[]).flatMap(readAnswer) : [];
}

function readAnswer(value: JsonValue): CheckAnswer[] {
  if (!isJsonObject(value)) return [];
  const failure = textField(value, 'failure');
  return [{ key: textField(value, 'key'), ...(failure !== '' && { failure }) }];
}

function outcomesOf(trials: readonly Trial[], answer: Answer<CheckAnswer[]> | undefined): Outcome[] {
  const problem = answer !== undefined && 'problem' in answer ? answer.problem : 'no answer';
  const found = new Map(answer !== undefined && 'value' in answer ? answer.value.map((each) => [each.key, each]) : []);
  return trials.map(({ part, from, to, where, check }) => {
    const { failure = undefined } = found.get(check.key) ?? { failure: problem };
    return { part, from, to, where, ...(failure !== undefined && { failure }) };
  });
}
