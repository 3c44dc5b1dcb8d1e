// The texts that `npm start` prints once its lab is up: which pods reach each other, how long each pod took, and what to try next.

import type { LabPod } from '../lab-pod.ts';
import { answered, failed, type Pair } from '../matrix.ts';
import { formatTable } from '../table.ts';

/** With more pods than this, the matrix is printed as one line for each pod instead of a square. */
const SQUARE_LIMIT = 12;

/** The round-trip times of every pod to every other pod in milliseconds, and then each failed pair with its reason. */
export function matrixReport(pods: readonly LabPod[], pairs: readonly Pair[]): string {
  const table = pods.length > SQUARE_LIMIT ? rowTable(pods, pairs) : squareTable(pods, pairs);
  const reasons = failed(pairs)
    .map(({ from, to, failure }) => `  ${from} → ${to}: ${failure}\n`)
    .join('');
  return `${table}${reasons === '' ? '' : `\n${reasons}`}`;
}

function squareTable(pods: readonly LabPod[], pairs: readonly Pair[]): string {
  const cells = new Map(pairs.map((pair) => [`${pair.from} ${pair.to}`, cellOf(pair)]));
  const header = ['ms', ...pods.map(({ name }) => name)];
  const rows = pods.map((from) => [
    from.name,
    ...pods.map((to) => (from === to ? '·' : (cells.get(`${from.name} ${to.name}`) ?? '?'))),
  ]);
  return formatTable([header, ...rows]);
}

function rowTable(pods: readonly LabPod[], pairs: readonly Pair[]): string {
  const rows = pods.map(({ name }) => {
    const own = pairs.filter(({ from }) => from === name);
    const times = answered(own).map(({ rttMs = 0 }) => rttMs);
    return [name, `${times.length} of ${own.length}`, median(times).toFixed(2), Math.max(0, ...times).toFixed(2)];
  });
  return formatTable([['from', 'answered', 'median ms', 'slowest ms'], ...rows]);
}

function cellOf({ rttMs, failure }: Pair): string {
  return failure === undefined ? (rttMs ?? 0).toFixed(2) : 'fails';
}

/** One line for each pod: its node, and how many milliseconds each part of its set-up took. */
export function setupReport(pods: readonly LabPod[]): string {
  const types = [...new Set(pods.flatMap(({ timings }) => timings.runs.map(({ type }) => type)))];
  const rows = pods.map((pod) => setupTimes(pod, types));
  const medians = [...types, ''].map((_, column) => median(rows.map((times) => times[column] ?? 0)));
  const cells = pods.map((pod, index) => [pod.name, pod.node.name, pod.ip, ...(rows[index] ?? []).map(milliseconds)]);
  const header = ['pod', 'node', 'address', ...types.map((type) => `${type} ms`), 'ADD ms'];
  return formatTable([header, ...cells, ['median', '', '', ...medians.map(milliseconds)]]);
}

function setupTimes({ timings }: LabPod, types: readonly string[]): number[] {
  const runs = new Map(timings.runs.map(({ type, startNs, endNs }) => [type, (endNs - startNs) / 1e6]));
  return [...types.map((type) => runs.get(type) ?? 0), timings.addMs];
}

function milliseconds(value: number): string {
  return value.toFixed(1);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle) - 1] ?? 0)) / 2;
}

/** `pods` has the names and addresses of the lab's pods. */
export function nextSteps(
  keep: boolean,
  name: string,
  node: string,
  pods: readonly { name: string; ip: string }[],
): string {
  if (!keep) {
    const live = '  npm start -- --nodes 5 --pods 4 --keep     a lab to live in, for npm run lab';
    return ['Next:', live, '  npm test', ''].join('\n');
  }
  const [pod, to] = [pods[0]?.name ?? 'POD', pods.at(-1)?.ip ?? 'ADDRESS'];
  const flag = name === 'lab' ? '' : `--name ${name} `;
  const lines = [
    ['status', 'nodes, agents, pods'],
    ['ping', 'every pod to every pod, again'],
    [`exec ${node} flanneld status`, 'what the agent of a node says of itself'],
    [`logs ${node}`, 'its log'],
    [`exec ${pod} ping ${to}`, 'a command in a pod, or in a node by its name; Ctrl-C ends it'],
    [`agent kill ${node}`, 'packets go on without it; then: agent start'],
    [`pod add ${node}`, 'one more pod'],
    [`node reboot ${node}`, 'a power cut'],
    ['down', 'remove everything'],
  ].map(([command, what]) => `  ${`npm run lab -- ${flag}${command}`.padEnd(50)} ${what}`);
  return ['The lab stays. Next:', ...lines, ''].join('\n');
}
