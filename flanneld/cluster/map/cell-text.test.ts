import { expect, test } from 'vitest';
import { cellText } from './client/cell-text.ts';
import type { MapData } from './map-data.ts';

const node = { version: '', ready: 'yes', peers: '', guard: '', probes: '', drift: '', repairs: 0 };
const data: MapData = {
  made: '',
  nodes: [
    { name: 'a', ...node, problems: ['device: gone'] },
    { name: 'b', ...node, problems: [] },
  ],
  rows: [
    [0, { s: 'dead', l: 100 }],
    [{ s: 'ok', r: 0.41234, l: 6.25 }, 0],
  ],
  findings: [],
  details: [
    { from: 0, to: 1, text: 'UDP 8472 is dropped' },
    { from: 0, to: -1, text: 'forwarding is off' },
  ],
};

test('a square names both nodes, the round trip and what was found', () => {
  expect(cellText(data, 0, 1)).toBe('a → b: no answer, 100 % lost\nUDP 8472 is dropped');
  expect(cellText(data, 1, 0)).toBe('b → a: reachable, round trip 0.412 ms, 6 % lost');
  expect(cellText({ ...data, rows: [] }, 1, 0)).toBe('b → a: not probed');
});

test('a square of the diagonal says what is wrong with the node itself', () => {
  expect(cellText(data, 0, 0)).toBe('a\ndevice: gone\nforwarding is off');
});
