// Merges the findings of all nodes, so that one cause is one entry: "8 nodes cannot reach node-7 by UDP 8472", and not eight sentences.
// Findings about pairs of nodes form a matrix with a row for each reporting node and a column for each peer: a full column is the peer's
// fault, a full row that of the reporting node.

import type { Finding, Severity } from '../../health/finding.ts';
import { compareNames } from '../ask/agents.ts';
import type { MergedFinding } from './merged-finding.ts';

const RANK: Readonly<Record<Severity, number>> = { error: 0, warning: 1, info: 2 };
/** How many different fixes of one cause are shown; where each node has its own, a few show what is to be done. */
const MAX_FIXES = 3;

/** The worst come first, then those that concern most nodes. */
export function mergeFindings(findings: readonly Finding[]): MergedFinding[] {
  const kindOf = (finding: Finding): string => JSON.stringify([finding.severity, finding.id, template(finding)]);
  const { once, twice } = sayOnce(findings);
  const merged = groupBy(once, kindOf).flatMap((group) =>
    group[0]?.peer === undefined ? [merge(group)] : linesOfMatrix(group, twice),
  );
  return merged.sort(
    (a, b) => RANK[a.severity] - RANK[b.severity] || b.nodes.length - a.nodes.length || compareNames(a.title, b.title),
  );
}

/**
 * Two nodes may report the same sentence about each other: "UDP is blocked from node-1 to node-3" is true on both. Then only the finding of
 * the node that the sentence names first is kept. Findings in `twice` are the ones kept for this reason.
 */
function sayOnce(findings: readonly Finding[]): { once: Finding[]; twice: ReadonlySet<Finding> } {
  const keyOf = ({ id, severity, cause }: Finding, ...pair: (string | undefined)[]): string =>
    JSON.stringify([id, severity, cause, ...pair]);
  const said = new Set(findings.map((finding) => keyOf(finding, finding.node, finding.peer)));
  const isTwice = (finding: Finding): boolean =>
    finding.peer !== undefined && said.has(keyOf(finding, finding.peer, finding.node));
  const isFirst = ({ cause, node, peer = '' }: Finding): boolean =>
    (cause.search(nameIn(node)) - cause.search(nameIn(peer)) || compareNames(node, peer)) < 0;
  const once = findings.filter((finding) => !isTwice(finding) || isFirst(finding));
  return { once, twice: new Set(once.filter(isTwice)) };
}

/**
 * Removes the longest row or column from the matrix again and again until nothing is left. The same findings in the opposite direction are
 * removed with it if all of them exist.
 */
function linesOfMatrix(group: readonly Finding[], twice: ReadonlySet<Finding>): MergedFinding[] {
  const lines: MergedFinding[] = [];
  let rest = [...group];
  while (rest.length > 0) {
    const [columns, rows] = [groupBy(rest, ({ peer }) => peer ?? ''), groupBy(rest, ({ node }) => node)];
    // A column wins over a row of the same length: several nodes that report the same about one node are more likely right.
    const longest = [...columns, ...rows].reduce((best, line) => (line.length > best.length ? line : best));
    const reverse = reverseOf(longest, rest);
    const line = merge(longest);
    const isFromBoth = reverse.length > 0 || longest.every((finding) => twice.has(finding));
    lines.push(!isFromBoth ? line : { ...line, title: `${line.title}; found from both sides` });
    const taken = new Set([...longest, ...reverse]);
    rest = rest.filter((finding) => !taken.has(finding));
  }
  return lines;
}

/** What the peers found about the nodes; empty unless all of them did. */
function reverseOf(line: readonly Finding[], all: readonly Finding[]): Finding[] {
  const pairs = new Set(line.map(({ node, peer }) => JSON.stringify([peer, node])));
  const reverse = all.filter(
    (finding) => pairs.has(JSON.stringify([finding.node, finding.peer])) && !line.includes(finding),
  );
  return reverse.length === line.length ? reverse : [];
}

function groupBy(findings: readonly Finding[], keyOf: (finding: Finding) => string): Finding[][] {
  const groups = new Map<string, Finding[]>();
  for (const finding of findings) {
    const group = groups.get(keyOf(finding));
    if (group === undefined) groups.set(keyOf(finding), [finding]);
    else group.push(finding);
  }
  return [...groups.values()];
}

function merge(group: readonly Finding[]): MergedFinding {
  const [first] = group;
  if (first === undefined) throw new Error('a group has no findings');
  const nodes = distinct(group.map(({ node }) => node)).sort(compareNames);
  const peers = distinct(group.flatMap(({ peer }) => peer ?? [])).sort(compareNames);
  return {
    id: first.id,
    severity: first.severity,
    title: titleOf(first, nodes, peers),
    nodes,
    peers,
    evidence: first.evidence,
    fixes: fixesOf(group),
  };
}

/** One fix of each kind; fixes that differ only in names, addresses and numbers are counted. */
function fixesOf(group: readonly Finding[]): string[] {
  const kinds = groupBy(group, (finding) => template(finding, finding.fix));
  return kinds.slice(0, MAX_FIXES).map((kind) => {
    const fixes = distinct(kind.map(({ fix }) => fix));
    return fixes.length === 1 ? (fixes[0] ?? '') : `${fixes[0]} (and ${fixes.length - 1} more like this)`;
  });
}

/** The cause in the words of the node that found it, with "8 nodes" or "3 peers" in place of a single name. */
function titleOf(first: Finding, nodes: readonly string[], peers: readonly string[]): string {
  const { cause, node, peer } = first;
  const someNodes = nodes.length === 1 ? node : `${nodes.length} nodes`;
  const somePeers = peers.length <= 1 ? peer : `${peers.length} peers`;
  let title = nodes.length === 1 ? cause : replaceName(cause, node, someNodes);
  if (peer !== undefined && somePeers !== undefined && peers.length > 1) title = replaceName(title, peer, somePeers);
  const saysNodes = hasName(title, someNodes);
  const saysPeers = somePeers === undefined || hasName(title, somePeers);
  if (saysNodes && saysPeers) return title;
  const towards = saysPeers ? '' : ` towards ${somePeers}`;
  return `${saysNodes ? '' : someNodes}${towards}: ${title}`.trim().replace(/^towards/, 'Towards');
}

/** The text without the names, addresses and numbers that differ from node to node. */
function template({ cause, node, peer = '' }: Finding, text = cause): string {
  return replaceName(replaceName(text, peer, '\x01'), node, '\0').replace(/[\da-f:.]*[\d:][\da-f:.]*/gi, '#');
}

/** Replaces a name only as a whole word: `node-1` does not match in `node-10`. */
function replaceName(text: string, name: string, by: string): string {
  return name === '' ? text : text.replace(nameIn(name, 'g'), () => by);
}

function hasName(text: string, name: string): boolean {
  return nameIn(name).test(text);
}

function nameIn(name: string, flags = ''): RegExp {
  const quoted = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`(?<![\\w.-])${quoted}(?![\\w-]|\\.\\w)`, flags);
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
