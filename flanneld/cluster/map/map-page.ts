// The map is one HTML file that contains everything and sends no requests.

import { escapeHtml, scriptJson } from '../../../lib/html.ts';
import { countText, nameList } from '../findings/findings-text.ts';
import type { MergedFinding } from '../findings/merged-finding.ts';
import { type MapData, type MapNode, RTT_STEPS } from './map-data.ts';

/** The texts in the page besides its data. */
export interface MapAssets {
  readonly script: string;
  readonly style: string;
}

export function renderMap(data: MapData, { script, style }: MapAssets): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<title>Weft map, ${escapeHtml(data.made.slice(0, 16))}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<a class="skip" href="#matrix">To the matrix</a>
<header>
<h1>Weft map</h1>
<p class="muted">${escapeHtml(summaryLine(data))}</p>
</header>
<main>
${findingsSection(data.findings)}
${matrixSection(data.nodes.length)}
${nodesSection(data.nodes)}
</main>
<script type="application/json" id="data">${scriptJson(data)}</script>
<script>${script.replaceAll('</script', '<\\/script')}</script>
</body>
</html>
`;
}

function summaryLine({ made, nodes, findings }: MapData): string {
  const ready = nodes.filter((node) => node.ready === 'yes').length;
  const silent = nodes.filter((node) => node.ready === '?').length;
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const warnings = findings.filter(({ severity }) => severity === 'warning').length;
  const answered = silent === 0 ? '' : `, ${silent} did not answer`;
  const when = made.slice(0, 19).replace('T', ' ');
  const wrong = `${countText(errors, 'error')}, ${countText(warnings, 'warning')}`;
  return `${when} UTC; ${ready} of ${nodes.length} nodes ready${answered}; ${wrong}`;
}

function findingsSection(findings: readonly MergedFinding[]): string {
  const shown = findings.filter(({ severity }) => severity !== 'info');
  const items = shown.map(({ id, severity, title, nodes, peers, evidence, fixes }) => {
    const facts = [
      ...(nodes.length > 1 ? [['nodes', nameList(nodes)]] : []),
      ...(peers.length > 1 ? [['peers', nameList(peers)]] : []),
      ...(evidence === '' ? [] : [['evidence', evidence]]),
      ...fixes.map((fix) => ['fix', fix]),
    ];
    const list = facts.map(([name = '', text = '']) => `<dt>${name}</dt><dd>${escapeHtml(text)}</dd>`).join('');
    return `<li class="${severity}"><p><strong>${severity}</strong> ${escapeHtml(title)} <code>${escapeHtml(id)}</code></p><dl>${list}</dl></li>`;
  });
  const body =
    items.length === 0 ? '<p>Nothing that the nodes know of.</p>' : `<ul class="findings">${items.join('\n')}</ul>`;
  return `<section aria-labelledby="wrong"><h2 id="wrong">What is wrong</h2>${body}</section>`;
}

function matrixSection(count: number): string {
  const steps = [...RTT_STEPS.map((end) => `< ${end} ms`), 'more'];
  const legend = [
    ...steps.map((text, at) => `<li><i class="rtt-${at + 1}"></i>${escapeHtml(text)}</li>`),
    '<li><i class="lossy"></i>some lost</li>',
    '<li><i class="degraded"></i>degraded</li>',
    '<li><i class="dead"></i>no answer</li>',
    '<li><i class="unknown"></i>not probed</li>',
  ];
  return `<section aria-labelledby="who"><h2 id="who">Who reaches whom</h2>
<p class="muted">A row is the node that probes, a column the peer that it probes.</p>
<form class="controls">
<label>Order <select id="order"><option value="name">by name</option><option value="worst">worst first</option><option value="slowest">slowest first</option></select></label>
<label>Size <select id="size"><option value="fit">to fit</option><option value="12">small</option><option value="24">large</option></select></label>
<label>Node <input id="find" type="search" list="names" autocomplete="off" placeholder="name"></label>
</form>
<ul class="legend" aria-label="Colours">${legend.join('')}</ul>
<div id="matrix" class="matrix" tabindex="0" role="application" aria-label="Matrix of ${count} nodes by ${count} nodes. Arrow keys move, Page Up and Page Down by ten, Home and End to the ends." aria-describedby="cell"><canvas></canvas><div class="extent"></div></div>
<p id="cell" class="cell" role="status">Point at a square, or move with the arrow keys.</p>
</section>`;
}

const COLUMNS: readonly {
  readonly title: string;
  readonly of: (node: MapNode) => string;
  readonly sortBy?: (node: MapNode) => number;
}[] = [
  { title: 'node', of: ({ name }) => name },
  { title: 'version', of: ({ version }) => version },
  { title: 'ready', of: ({ ready }) => ready },
  { title: 'peers', of: ({ peers }) => peers },
  { title: 'guard', of: ({ guard }) => guard },
  { title: 'probes', of: ({ probes }) => probes },
  { title: 'drift', of: ({ drift }) => drift, sortBy: ({ repairs }) => repairs },
  { title: 'problems', of: ({ problems }) => problems.join('\n'), sortBy: ({ problems }) => problems.length },
];

function nodesSection(nodes: readonly MapNode[]): string {
  const heads = COLUMNS.map(({ title }) => `<th scope="col"><button type="button">${title}</button></th>`).join('');
  const rows = nodes.map((node, index) => {
    const cells = COLUMNS.map(({ of, sortBy }, at) => {
      const text = escapeHtml(of(node)).replaceAll('\n', '<br>');
      if (at === 0) return `<th scope="row">${text}</th>`;
      const sort = sortBy === undefined ? '' : ` data-sort="${sortBy(node)}"`;
      return `<td${sort}>${text}</td>`;
    });
    const kind = node.ready === 'yes' ? '' : ' class="unwell"';
    return `<tr data-node="${index}"${kind}>${cells.join('')}</tr>`;
  });
  return `<section aria-labelledby="each"><h2 id="each">Nodes</h2>
<div class="scroll"><table id="nodes"><thead><tr>${heads}</tr></thead><tbody>${rows.join('\n')}</tbody></table></div></section>`;
}
