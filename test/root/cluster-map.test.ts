// Opens the map of `kubectl weft map` in a browser: it reports no errors, sends no requests, shows each pair's state by colour and in
// words, and works by keyboard, at a phone's width, in light and dark mode, and with 500 nodes.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import type { MapCell, MapData } from '../../flanneld/cluster/map/map-data.ts';
import { renderMap } from '../../flanneld/cluster/map/map-page.ts';
import { bundleMap } from '../../scripts/build-plugin.mjs';
import { repositoryRoot } from '../lab/programs.ts';
import { findChromium, openPage, type Page } from '../support/chromium.ts';
import { needs } from '../support/needs.ts';

beforeEach(() => needs.machine(findChromium() !== undefined, 'chromium on PATH'));

const DEAD = { row: 1, column: 6 };

/** Node 2 does not reach node 7. */
function madeUpMap(count: number): MapData {
  const node = { version: '0.1.0', peers: '7/7', guard: 'count', probes: '7 reachable', drift: 'none' };
  const names = Array.from({ length: count }, (_, at) => `node-${at + 1}`);
  const cell = (row: number, column: number): MapCell => {
    if (row === column) return 0;
    return row === DEAD.row && column === DEAD.column
      ? { s: 'dead', l: 100 }
      : { s: 'ok', r: 0.1 + ((row * column) % 9) };
  };
  return {
    made: '2026-11-29T02:00:00.000Z',
    nodes: names.map((name, at) => ({
      name,
      ...node,
      ready: at === 6 ? 'no' : 'yes',
      repairs: at === 3 ? 12 : at % 3,
      problems: at === 6 ? ['device: </script><b>gone'] : [],
    })),
    rows: names.map((_, row) => names.map((_each, column) => cell(row, column))),
    findings: [
      {
        id: 'tunnel-port-blocked',
        severity: 'error',
        title: 'the network drops UDP port 8472 between node-2 and node-7 <b>',
        nodes: ['node-2'],
        peers: ['node-7'],
        evidence: '10.0.0.7 answers',
        fixes: ['open UDP port 8472'],
      },
    ],
    details: [{ from: DEAD.row, to: DEAD.column, text: 'the network drops UDP port 8472 [tunnel-port-blocked]' }],
  };
}

async function openMap(count: number, change: (html: string) => string = (html) => html): Promise<Page> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-map-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const style = readFileSync(join(repositoryRoot, 'flanneld/cluster/map/map-style.css'), 'utf8');
  const file = join(folder, 'map.html');
  writeFileSync(file, change(renderMap(madeUpMap(count), { script: await bundleMap(), style })));
  const page = await openPage(findChromium() ?? '', pathToFileURL(file).href);
  onTestFinished(() => page.close());
  return page;
}

const FRAMES = 'new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))';
const text = (page: Page, selector: string): Promise<string> =>
  page.evaluate(`document.querySelector(${JSON.stringify(selector)}).innerText`);
const press = (page: Page, key: string): Promise<unknown> =>
  page.evaluate(
    `document.getElementById('matrix').dispatchEvent(new KeyboardEvent('keydown', { key: '${key}', bubbles: true, cancelable: true })) || true`,
  );

/** How often each colour of the style is on the canvas. */
const PAINTED = `(() => {
  const canvas = document.querySelector('#matrix canvas');
  const copy = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height });
  const context = copy.getContext('2d', { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const { data } = context.getImageData(0, 0, copy.width, copy.height);
  const style = getComputedStyle(document.documentElement);
  const counts = {};
  for (const name of ['dead', 'rtt-1', 'rtt-4', 'rtt-7']) {
    const hex = style.getPropertyValue('--' + name).trim();
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    counts[name] = 0;
    for (let at = 0; at < data.length; at += 4)
      if (data[at] === red && data[at + 1] === green && data[at + 2] === blue) counts[name] += 1;
  }
  return counts;
})()`;

test('it opens without a complaint, in light and dark, wide and at a phone’s width', async () => {
  const page = await openMap(12);
  for (const look of [
    { dark: false, width: 1200 },
    { dark: true, width: 390 },
  ]) {
    await page.emulate(look);
    await page.evaluate(FRAMES);
    const painted = await page.evaluate<Record<string, number>>(PAINTED);
    expect(painted['dead']).toBeGreaterThan(20);
    expect(painted['rtt-1']).toBeGreaterThan(500);
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
  }
  expect(page.complaints).toEqual([]);
});

test('what is wrong is written out, and text of nodes is no markup', async () => {
  const page = await openMap(12);
  const wrong = await text(page, 'section[aria-labelledby=wrong]');
  expect(wrong).toContain('the network drops UDP port 8472 between node-2 and node-7 <b> tunnel-port-blocked');
  expect(wrong).toMatch(/fix\s+open UDP port 8472/);
  expect(await text(page, '#nodes tr[data-node="6"]')).toContain('device: </script><b>gone');
  expect(await page.evaluate('document.querySelectorAll("body b").length')).toBe(0);
});

test('keys lead to a pair, which is then told in words', async () => {
  const page = await openMap(12);
  await press(page, 'ArrowDown');
  for (let step = 0; step < 6; step++) await press(page, 'ArrowRight');
  expect(await text(page, '#cell')).toBe(
    'node-2 → node-7: no answer, 100 % lost\nthe network drops UDP port 8472 [tunnel-port-blocked]',
  );
  await press(page, 'End');
  expect(await text(page, '#cell')).toBe('node-2 → node-12: reachable, round trip 2.1 ms, 0 % lost');
});

test('the matrix is put in order by what is worst, the table by any column', async () => {
  const page = await openMap(12);
  await page.evaluate(
    `(() => { const order = document.getElementById('order'); order.value = 'worst'; order.dispatchEvent(new Event('change')); })()`,
  );
  expect(await text(page, '#cell')).toMatch(/^node-2\b/);
  const first = (): Promise<string> => text(page, '#nodes tbody tr:first-child th');
  const sort = (column: number): Promise<unknown> =>
    page.evaluate(`document.querySelectorAll('#nodes thead button')[${column}].click()`);
  await sort(6);
  await sort(6);
  expect(await first()).toBe('node-4');
  await sort(0);
  expect(await first()).toBe('node-1');
  expect(await page.evaluate(`document.querySelector('#nodes th').getAttribute('aria-sort')`)).toBe('ascending');
});

test('500 nodes are one matrix in which a single broken pair is seen and found', async () => {
  const page = await openMap(500);
  await page.emulate({ dark: false, width: 1200 });
  await page.evaluate(FRAMES);
  expect(await page.evaluate<Record<string, number>>(PAINTED)).toMatchObject({ dead: 4 });
  await page.evaluate(
    `(() => { const find = document.getElementById('find'); find.value = 'node-437'; find.dispatchEvent(new Event('input')); })()`,
  );
  expect(await text(page, '#cell')).toMatch(/^node-437 → node-1: reachable/);
  const seen = await page.evaluate<boolean>(
    `(() => { const box = document.getElementById('matrix'); return box.scrollTop > 0 && box.clientHeight < innerHeight; })()`,
  );
  expect(seen).toBe(true);
  expect(page.complaints).toEqual([]);
});

test('an error and a request to the network would be seen', async () => {
  const page = await openMap(2, (html) =>
    html.replace('</body>', '<script>fetch("http://127.0.0.1:9/x").catch(() => 0); nothing.here()</script></body>'),
  );
  expect(page.complaints).toContainEqual(expect.stringContaining('nothing is not defined'));
  expect(page.complaints.join()).toMatch(/Content Security Policy|asked for http/);
});
