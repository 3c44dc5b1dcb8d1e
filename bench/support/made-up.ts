// Made-up results for tests, with one plot of every kind.

import type { Disclosure } from '../disclosure.ts';
import { figure, ratioOfFigures, summaryTable } from '../figures.ts';
import type { Figure } from '../result.ts';
import { type MeasuredPart, type RunResult, SCHEMA, VERSION } from '../run-result.ts';
import { randomNumbers } from '../stats.ts';

const madeUpMachine: Disclosure = {
  taken: '2026-01-02T03:04:05.678Z',
  cpu: 'Made Up <9000>',
  cpus: 2,
  memoryMb: 4096,
  kernel: '6.1.0 #1 SMP',
  kernelCommandLine: 'quiet',
  hardware: { governor: 'performance' },
  mitigations: {},
  sysctls: { 'net.core.rmem_max': '212992' },
  offloads: { veth: 'tso on, MTU 1500' },
  versions: { Node: 'v20.0.0', weft: 'abc' },
  load: 0.1,
  scratchFilesystem: 'ext4 rw',
};

/** Values within a tenth of `centre` to both sides, with a long tail. */
export function madeUpSamples(centre: number, count: number, seed: number): number[] {
  const random = randomNumbers(seed);
  return Array.from({ length: count }, () => centre * (0.9 + 0.2 * random() + (random() > 0.95 ? random() : 0)));
}

export function madeUpFigure(key: string, role: Figure['role'], values: readonly number[], unit = 'µs'): Figure {
  return figure({ key, name: key.replaceAll('/', ', '), unit, better: 'lower', role }, values);
}

/** Two parts with every kind of plot, a limit that is kept and one that is not, a failure and notes. */
export function madeUpRun(): RunResult {
  return {
    schema: SCHEMA,
    version: VERSION,
    machine: madeUpMachine,
    quick: false,
    parts: [madeUpCni(), madeUpPeers()],
  };
}

const about = { seconds: 12.3, othersLoad: 0.02, stolen: 0 };

function madeUpCni(): MeasuredPart {
  const figures = [
    madeUpFigure('ADD/weft', 'weft', [...madeUpSamples(3000, 99, 1), Number.NaN]),
    madeUpFigure('ADD/chain', 'reference', madeUpSamples(11_000, 100, 2)),
    madeUpFigure('udp/T5-T0', 'weft', madeUpSamples(4, 40, 3), 'ms'),
    madeUpFigure('udp/T7-T5', 'weft', [...madeUpSamples(0.5, 38, 4), -0.2, Number.NaN], 'ms'),
  ];
  return {
    ...about,
    name: 'cni',
    question: 'How long does a pod wait for its <network>?',
    figures,
    tables: [summaryTable('one pod', figures.slice(0, 2))],
    ratios: [
      ratioOfFigures('ADD against chain', figures, { of: 'ADD/weft', against: 'ADD/chain' }, { most: 0.28 }),
      ratioOfFigures('chain against ADD', figures, { of: 'ADD/chain', against: 'ADD/weft' }, { most: 1 }),
    ],
    limits: [{ name: 'wall', value: 3, unit: 'ms', most: 5 }],
    failures: ['1 × ADD by weft: </script><b>'],
    notes: ['DISTURBED: other programs had 1.0 processors meanwhile'],
    plots: [
      { kind: 'distribution', title: 'ADD', figures: ['ADD/weft', 'ADD/chain'] },
      {
        kind: 'stacked',
        title: 'Timeline',
        bar: 'pod',
        segments: [
          { name: 'ADD', figure: 'udp/T5-T0' },
          { name: 'delivered', figure: 'udp/T7-T5' },
        ],
      },
    ],
    headline: [{ name: 'ADD, one pod', figure: 'ADD/weft' }],
    about: { chain: '1.2.3' },
  };
}

function madeUpPeers(): MeasuredPart {
  const figures = [
    madeUpFigure('1000/agent', 'weft', madeUpSamples(14, 12, 5), 'ms'),
    madeUpFigure('5000/agent', 'weft', madeUpSamples(80, 12, 6), 'ms'),
    madeUpFigure('1000/batch', 'reference', madeUpSamples(40, 12, 7), 'ms'),
    madeUpFigure('5000/batch', 'reference', madeUpSamples(170, 12, 8), 'ms'),
    madeUpFigure('memory', 'weft', [90], 'MB'),
  ];
  const points = (who: string) => [1000, 5000].map((x) => ({ x, figure: `${x}/${who}` }));
  return {
    ...about,
    name: 'peers',
    question: 'What do peers cost?',
    figures,
    tables: [summaryTable('peers', figures)],
    ratios: [ratioOfFigures('agent against batch', figures, { of: '5000/agent', against: '5000/batch' })],
    limits: [],
    failures: [],
    notes: [],
    plots: [
      {
        kind: 'lines',
        title: 'Programming peers',
        x: { label: 'peers', log: true },
        y: { label: 'ms', log: true },
        series: [
          { name: 'agent', points: points('agent') },
          { name: 'batch', points: points('batch') },
        ],
      },
    ],
    headline: [{ name: '5000 peers', figure: '5000/agent' }],
  };
}
