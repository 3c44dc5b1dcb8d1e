// `kubectl weft map`: asks all nodes and writes one HTML file.

import { writeFileSync } from 'node:fs';
import { readFindings } from '../findings/read-findings.ts';
import { askAgents, type Surroundings, theCluster } from '../surroundings.ts';
import { makeMap, readMapReport } from './make-map.ts';
import { renderMap } from './map-page.ts';

/** The build puts the page's program and its style here. */
declare const WEFT_MAP_SCRIPT: string;
declare const WEFT_MAP_STYLE: string;

/** Exit code 0 when all nodes answered. */
export async function mapCommand(around: Surroundings): Promise<number> {
  const { options, say } = around;
  const { nodes } = await theCluster(around);
  const answers = await askAgents(around, nodes, ['status'], readMapReport);
  const seen = await askAgents(around, nodes, ['doctor'], readFindings);
  const findings = seen.flatMap((answer) => ('value' in answer ? answer.value : []));
  const html = renderMap(makeMap(answers, findings, new Date()), { script: WEFT_MAP_SCRIPT, style: WEFT_MAP_STYLE });
  const file = options.output ?? 'weft-map.html';
  writeFileSync(file, html);
  const silent = answers.filter((answer) => 'problem' in answer).length;
  say(`${file}: ${nodes.length} nodes${silent === 0 ? '' : `, ${silent} did not answer`}`);
  return silent === 0 ? 0 : 1;
}
