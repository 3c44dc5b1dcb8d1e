// The report is one HTML file that contains everything and needs no network.

import { escapeHtml, scriptJson } from '../../lib/html.ts';
import { describeDisclosure } from '../disclosure.ts';
import { headlineRows, headlineSentence, ratioText, termsIn } from '../headline.ts';
import type { Plot, Table } from '../result.ts';
import type { MeasuredPart, RunResult } from '../run-result.ts';
import { quantiles } from '../stats.ts';
import { verdictsOf } from '../terminal.ts';
import type { PlotData } from './data.ts';
import { htmlTable } from './html.ts';
import { plotData } from './plot-data.ts';
import { limitTable, ratioTable } from './ratios.ts';

/** The texts that the page contains: see assets.ts. */
export interface Assets {
  /** The page's program, including uPlot. */
  readonly script: string;
  readonly style: string;
  /** The licence of uPlot, which must be included with it. */
  readonly licence: string;
}

export function renderReport(run: RunResult, { script, style, licence }: Assets): string {
  const plots: Record<string, PlotData> = {};
  const sections = run.parts.map((part) => section(part, plots));
  const links = run.parts.map(({ name }) => `<li><a href="#${escapeHtml(name)}">${escapeHtml(name)}</a></li>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<title>Weft bench, ${escapeHtml(run.machine.taken.slice(0, 10))}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<a class="skip" href="#content">To the results</a>
<header>
<h1>Weft bench</h1>
${sentence(run)}<p class="muted">${escapeHtml(summaryLine(run))}</p>
<nav aria-label="Parts"><ul>${links.join('')}<li><a href="#machine">machine</a></li></ul></nav>
</header>
<main id="content">
${overview(run)}
${sections.join('\n')}
${machine(run)}
</main>
<script type="application/json" id="data">${scriptJson(plots)}</script>
<!-- uPlot: ${licence.replaceAll('--', '- -')} -->
<script>${script.replaceAll('</script', '<\\/script')}</script>
</body>
</html>
`;
}

function summaryLine({ machine: { taken, cpus, cpu, kernel }, quick, parts }: RunResult): string {
  const verdicts = parts.flatMap((part) => verdictsOf(part)).filter(({ limit }) => limit !== '');
  const kept = verdicts.filter((verdict) => verdict.kept).length;
  const length = quick ? 'a quick run: few rounds, wide intervals' : 'a full run';
  const day = taken.slice(0, 16).replace('T', ' ');
  const limits = verdicts.length === 0 ? '' : `; ${kept} of ${verdicts.length} limits kept`;
  return `${day} UTC, ${cpus} × ${cpu}, Linux ${kernel.split(' ')[0]}; ${length}${limits}`;
}

/** The first sentence of the report. */
function sentence(run: RunResult): string {
  const text = headlineSentence(run);
  return text === '' ? '' : `<p class="sentence">${escapeHtml(text)}</p>\n`;
}

/** What the terms in a text mean, for readers who meet them there first. */
function terms(text: string): string {
  const found = termsIn(text).map(({ term, means }) => `<dt>${escapeHtml(term)}</dt><dd>${escapeHtml(means)}</dd>`);
  return found.length === 0 ? '' : `<dl class="terms">${found.join('')}</dl>`;
}

function better(isLess: boolean): string {
  return isLess ? 'less is better' : 'more is better';
}

function overview(run: RunResult): string {
  const rows = headlineRows(run).map(({ name, median, p99, count, isLessBetter, ratios }) => [
    `${name} (${better(isLessBetter)})`,
    median,
    p99,
    `${count}`,
    ratios.map(({ against, ...ratio }) => `${ratioText(ratio)} of ${against}`).join('\n') || '–',
  ]);
  const worries = run.parts.flatMap(({ name, failures, notes }) => [
    ...failures.map((text) => ({ text: `${name}: ${text}`, bad: true })),
    ...notes
      .filter((text) => text.includes('DISTURBED'))
      .map((text) => ({ text: `${name}: ${text.replace(/^DISTURBED: /, '')}`, bad: false })),
  ]);
  const bad = worries.filter((worry) => worry.bad).map(({ text }) => text);
  const disturbed = worries.filter((worry) => !worry.bad).map(({ text }) => text);
  const table =
    rows.length === 0
      ? ''
      : htmlTable('Headline figures', ['', 'median', 'p99', 'n', 'ratio of medians (95 %)'], rows, lines).replace(
          '<table>',
          '<table class="headline">',
        );
  return `${box('Failed', bad, 'bad')}${box('Disturbed', disturbed, 'warn')}${table}${terms(rows.flat().join(' '))}`;
}

/** Whether a note says that a part's figures are less reliable than they look. */
function isWorry(note: string): boolean {
  return /DISTURBED|UNCLEAR/.test(note);
}

function section(part: MeasuredPart, plots: Record<string, PlotData>): string {
  const { name, question, seconds, ratios, limits, tables, notes, failures, about } = part;
  const drawn = part.plots.flatMap((plot, at) => {
    const data = plotData(plot, part.figures);
    if (data === undefined) return [];
    const key = `${name}-${at}`;
    plots[key] = data;
    const label = `${plot.title}. ${describePlot(data)}`;
    return [
      `<figure data-plot="${key}" data-kind="${data.kind}"><figcaption>${escapeHtml(plot.title)}${escapeHtml(direction(part, data.kind === 'stacked' ? [] : plot))}</figcaption><div class="plot" role="img" aria-label="${escapeHtml(label)}"></div>${cutNote(data)}</figure>`,
    ];
  });
  return `<section id="${escapeHtml(name)}" aria-labelledby="${escapeHtml(name)}-title">
<h2 id="${escapeHtml(name)}-title">${escapeHtml(question)}</h2>
<p class="muted"><code>npm run bench -- ${escapeHtml(name)}</code>, ${seconds.toFixed(0)} s</p>
${box('Failed', failures, 'bad')}${box('', notes.filter(isWorry), 'warn')}${box(
  '',
  notes.filter((text) => !isWorry(text)),
)}
${ratioTable(ratios)}${limitTable(limits)}${terms(JSON.stringify([ratios.map((ratio) => ratio.name), tables.map(({ head, rows }) => [head, rows.map(([first]) => first)])]))}
${drawn.length === 0 ? '' : `<div class="plots">${drawn.join('\n')}</div>`}
${tablesOf(tables.filter(({ answers }) => answers))}
${details('Tables of all figures', tablesOf(tables.filter(({ answers }) => !answers)))}
${about === undefined ? '' : details('Measured with', definitions(about))}
</section>`;
}

/** `, less is better`, where all that a plot draws has one direction. */
function direction({ figures }: MeasuredPart, plot: Plot | readonly never[]): string {
  if (!('kind' in plot) || plot.kind === 'stacked') return '';
  const keys =
    plot.kind === 'lines' ? plot.series.flatMap(({ points }) => points.map(({ figure }) => figure)) : plot.figures;
  const ways = new Set(figures.filter(({ key }) => keys.includes(key)).map((figure) => figure.better));
  return ways.size === 1 ? `, ${better(ways.has('lower'))}` : '';
}

function tablesOf(tables: readonly Table[]): string {
  return tables.map(({ title, head, rows }) => htmlTable(title, head, rows)).join('\n');
}

function details(summary: string, html: string): string {
  return html === '' ? '' : `<details><summary>${summary}</summary>${html}</details>`;
}

/** Describes the plot for readers who cannot see it. */
function describePlot(data: PlotData): string {
  const median = (values: readonly number[]): string => `${quantiles(values, [0.5])[0]?.toPrecision(3)} ${data.unit}`;
  if (data.kind === 'distribution') {
    return `Distributions; medians: ${data.curves.map(({ name, values }) => `${name} ${median(values)}`).join(', ')}.`;
  }
  if (data.kind === 'lines') return `Medians over ${data.x.label}: ${data.lines.map(({ name }) => name).join(', ')}.`;
  const medians = data.segments.map(({ name, values }) => `${name} ${median(values.filter((each) => each !== null))}`);
  return `One stacked bar for each ${data.bar}; medians: ${medians.join(', ')}.`;
}

function cutNote(data: PlotData): string {
  if (data.kind !== 'stacked') return '';
  const rounds = data.segments[0]?.values.map((_, at) =>
    data.segments.reduce((sum, { values }) => sum + Math.max(0, values[at] ?? 0), 0),
  );
  const cut = rounds?.filter((total) => total > data.top * 1.05).length ?? 0;
  return cut === 0 ? '' : `<p class="muted">${cut} taller than the plot, which ends at four times the median</p>`;
}

function machine({ machine: disclosure }: RunResult): string {
  return `<section id="machine" aria-labelledby="machine-title"><h2 id="machine-title">The machine</h2>${definitions(describeDisclosure(disclosure))}</section>`;
}

function definitions(facts: Readonly<Record<string, unknown>>): string {
  const entries = Object.entries(facts).map(([name, value]) => {
    const text = typeof value === 'string' ? lines(value) : `<code>${escapeHtml(JSON.stringify(value) ?? '')}</code>`;
    return `<dt>${escapeHtml(name)}</dt><dd>${text}</dd>`;
  });
  return `<dl>${entries.join('\n')}</dl>`;
}

function box(title: string, texts: readonly string[], kind = ''): string {
  if (texts.length === 0) return '';
  const heading = title === '' ? '' : `<strong>${escapeHtml(title)}</strong>`;
  const items = texts.map((text) => `<li>${escapeHtml(text)}</li>`).join('');
  return `<div class="box ${kind}">${heading}<ul>${items}</ul></div>`;
}

function lines(text: string): string {
  return escapeHtml(text).replaceAll('\n', '<br>');
}
