// Collects what the map shows: each agent's report about its own node, and the results of its probes of each peer. Pure functions.

import { field, type JsonObject } from '../../../lib/json.ts';
import type { Finding } from '../../health/finding.ts';
import type { Answer } from '../ask/bounded.ts';
import { mergeFindings } from '../findings/merge-findings.ts';
import { textField } from '../findings/read-findings.ts';
import { type NodeReport, objectField, objectsField, readNodeReport } from '../node-report.ts';
import { countsText, guardText, peersText } from '../status-table.ts';
import { badness, type MapCell, type MapData, type MapDetail, type MapNode, type MapState } from './map-data.ts';

/** What a node reports for the map. */
export interface MapReport {
  readonly report: NodeReport;
  /** The squares of the node's row, by the peer's name. */
  readonly cells: ReadonlyMap<string, MapCell>;
}

/** How many findings of single nodes the map keeps. Where there are more, the merged findings describe the cluster. */
const MAX_DETAILS = 5000;

const STATES: Readonly<Record<string, MapState>> = { reachable: 'ok', degraded: 'bad', unreachable: 'dead' };

export function readMapReport(answer: JsonObject, node: string): MapReport {
  const cells = new Map<string, MapCell>();
  for (const peer of objectsField(objectField(answer, 'probes'), 'peers')) {
    const name = textField(peer, 'peer');
    // A peer is listed once in each family; the worse result counts.
    cells.set(name, worse(cells.get(name) ?? 0, readCell(peer)));
  }
  return { report: readNodeReport(answer, node), cells };
}

/** A peer that was not probed yet is 0. */
function readCell(peer: JsonObject): MapCell {
  const state = STATES[textField(peer, 'state')];
  if (state === undefined) return 0;
  const [rtt, loss] = [field(peer, 'rttMs'), field(peer, 'loss')];
  return {
    s: state,
    ...(typeof rtt === 'number' && { r: Number(rtt.toPrecision(3)) }),
    ...(typeof loss === 'number' && loss > 0 && { l: loss * 100 }),
  };
}

function worse(a: MapCell, b: MapCell): MapCell {
  return badness(a) > badness(b) || b === 0 ? a : b;
}

/** `extra`: findings of `flanneld doctor` on each node, in addition to those of the agents. */
export function makeMap(answers: readonly Answer<MapReport>[], extra: readonly Finding[], made: Date): MapData {
  const names = answers.map(({ node }) => node);
  const own = answers.flatMap((answer) => ('value' in answer ? answer.value.report.findings : []));
  const findings = oneOfEach(own, extra);
  return {
    made: made.toISOString(),
    nodes: answers.map(mapNode),
    rows: answers.map((answer) => names.map((peer) => ('value' in answer ? (answer.value.cells.get(peer) ?? 0) : 0))),
    findings: mergeFindings(findings),
    details: detailsOf(findings, names),
  };
}

/** The agents' own findings, and the doctor's findings that no agent has. About a pair the agent knows more, because it has watched it. */
function oneOfEach(own: readonly Finding[], doctors: readonly Finding[]): Finding[] {
  const keyOf = ({ id, node, peer }: Finding): string =>
    JSON.stringify(peer === undefined ? [node, id] : [node, '', peer]);
  const known = new Set(own.map(keyOf));
  return [...own, ...doctors.filter((finding) => !known.has(keyOf(finding)))];
}

function detailsOf(findings: readonly Finding[], names: readonly string[]): MapDetail[] {
  const indexes = new Map(names.map((name, at) => [name, at]));
  return findings.slice(0, MAX_DETAILS).map(({ id, node, peer, cause }) => ({
    from: indexes.get(node) ?? -1,
    to: peer === undefined ? -1 : (indexes.get(peer) ?? -1),
    text: `${cause} [${id}]`,
  }));
}

function mapNode(answer: Answer<MapReport>): MapNode {
  const { node } = answer;
  if ('problem' in answer) {
    const unknown = { version: '?', ready: '?', peers: '?', guard: '?', probes: '?', drift: '?', repairs: 0 };
    return { name: node, ...unknown, problems: [answer.problem] };
  }
  const { version, isReady, problems, drift, probes, ...report } = answer.value.report;
  return {
    name: node,
    version,
    ready: isReady ? 'yes' : 'no',
    peers: peersText(report.peers),
    guard: guardText(report.guard),
    probes: countsText(probes, '-'),
    drift: countsText(drift, 'none'),
    repairs: [...drift.values()].reduce((sum, count) => sum + count, 0),
    problems,
  };
}
