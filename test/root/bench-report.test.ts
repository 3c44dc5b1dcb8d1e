// Opens the bench's report in a browser: there are no errors, nothing is requested from a network, and every plot shows lines.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { renderReport } from '../../bench/report/page.ts';
import { madeUpRun } from '../../bench/support/made-up.ts';
import { bundleReport } from '../../scripts/bench-report.mjs';
import { repositoryRoot } from '../lab/programs.ts';
import { findChromium, openPage, type Page } from '../support/chromium.ts';
import { needs } from '../support/needs.ts';

beforeEach(() => needs.machine(findChromium() !== undefined, 'chromium on PATH'));

async function openReport(change: (html: string) => string = (html) => html): Promise<Page> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-report-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const read = (path: string): string => readFileSync(join(repositoryRoot, path), 'utf8');
  const html = renderReport(madeUpRun(), {
    script: await bundleReport(),
    style: `${read('node_modules/uplot/dist/uPlot.min.css')}\n${read('bench/report/style.css')}`,
    licence: read('node_modules/uplot/LICENSE'),
  });
  const file = join(folder, 'report.html');
  writeFileSync(file, change(html));
  const page = await openPage(findChromium() ?? '', pathToFileURL(file).href);
  onTestFinished(() => page.close());
  return page;
}

/** Counts the colours on each plot's canvas, without those of text and grid. */
const PAINTED = `[...document.querySelectorAll('figure[data-plot]')].map((figure) => {
  const canvas = figure.querySelector('canvas');
  if (canvas === null) return 0;
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const colours = new Set();
  for (let at = 0; at < data.length; at += 4) {
    const [red, green, blue, alpha] = data.slice(at, at + 4);
    if (alpha === 255 && Math.max(red, green, blue) - Math.min(red, green, blue) > 60) colours.add([red, green, blue].join());
  }
  return colours.size;
})`;

test('the report opens without an error and every plot is painted, in light and in dark, narrow and wide', async () => {
  const page = await openReport();
  for (const look of [
    { dark: false, width: 1200 },
    { dark: true, width: 420 },
  ]) {
    await page.emulate(look);
    await page.evaluate('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))');
    const painted = await page.evaluate<number[]>(PAINTED);
    expect(painted).toHaveLength(3);
    for (const colours of painted) expect(colours).toBeGreaterThanOrEqual(2);
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
  }
  expect(page.complaints).toEqual([]);
});

test('a phone shows every headline figure without scrolling aside, and the first sentence says what came out', async () => {
  const page = await openReport();
  await page.emulate({ dark: false, width: 420 });
  const widest = await page.evaluate<number>(
    `Math.max(...[...document.querySelectorAll('.headline th, .headline td, .sentence')].map((cell) => cell.getBoundingClientRect().right))`,
  );
  expect(widest).toBeGreaterThan(100);
  expect(widest).toBeLessThanOrEqual(420);
  expect(await page.evaluate<string>('document.querySelector("header p").innerText')).toMatch(
    /^ADD, one pod: .* ms at the median, 0\.\d\d \(.*\) of chain \(less is better\)/,
  );
});

test('text from a run is not interpreted as markup, and is where a reader looks for it', async () => {
  const page = await openReport();
  const text = await page.evaluate<string>('document.body.innerText');
  expect(text).toContain('How long does a pod wait for its <network>?');
  expect(text).toContain('1 × ADD by weft: </script><b>');
  expect(text).toMatch(/ADD against chain\s+0\.\d+ \(0\.\d+–0\.\d+\)\s+≤ 0\.28/);
  expect(text).toMatch(/chain against ADD[^\n]*\s+≤ 1\s+not kept/);
  expect(text).toContain('2 of 3 limits kept');
  expect(await page.evaluate('document.querySelectorAll("body b").length')).toBe(0);
});

test('every plot has a name and a description for people who cannot see it', async () => {
  const page = await openReport();
  const labels = await page.evaluate<string[]>(
    `[...document.querySelectorAll('figure .plot[role=img]')].map((plot) => plot.getAttribute('aria-label'))`,
  );
  expect(labels).toEqual([
    expect.stringMatching(/^ADD\. Distributions; medians: weft .* ms, chain .* ms\.$/),
    expect.stringMatching(/^Timeline\. One stacked bar for each pod; medians: ADD .* ms, delivered .* ms\.$/),
    expect.stringMatching(/^Programming peers\. Medians over peers: agent, batch\.$/),
  ]);
});

test('an error and a request to the network would be noticed (control)', async () => {
  const page = await openReport((html) =>
    html.replace('</body>', '<script>fetch("http://127.0.0.1:9/x").catch(() => 0); nothing.here()</script></body>'),
  );
  expect(page.complaints).toContainEqual(expect.stringContaining('nothing is not defined'));
  expect(page.complaints.join()).toMatch(/Content Security Policy|asked for http/);
});
