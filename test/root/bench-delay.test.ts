// Tests that the bench is accurate: a delay of 5 ms added to the plugin from outside shows in its own segment and in no other.

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { makeSetting } from '../../bench/cni/setting.ts';
import { measureRounds, type PodSample } from '../../bench/packet/packet-rounds.ts';
import { segmentFigures, spanFigures } from '../../bench/packet/timeline.ts';
import { comparedVariants, type Variant } from '../../bench/packet/variants.ts';
import { samplesOfFigure } from '../../bench/result.ts';
import { MILESTONE_EVENTS } from '../../bench/trace/milestones.ts';
import { openTracing } from '../../bench/trace/tracefs.ts';
import { startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { childrenOf } from '../lab/processes.ts';
import { builtPlugins, repositoryRoot } from '../lab/programs.ts';
import { needs } from '../support/needs.ts';

const DELAY_MS = 5;
const ROUNDS = 15;
/** The most that the delay may add to its span. The smallest samples are compared, because a disturbance only adds time. */
const MOST_MS = 8;
const NOISE_MS = 2;

type Kind = 'plain' | 'before' | 'after';

/** Weft's plugin, without a delay, or with one before it or after it. */
function variantOf(node: LabNode, kind: Kind): Variant {
  const setting = makeSetting();
  const folder = mkdtempSync(join(setting.scratch, 'plugin-'));
  const plugin = join(folder, 'real', 'flannel');
  mkdirSync(join(folder, 'real'));
  copyFileSync(join(builtPlugins, 'flannel'), plugin);
  if (kind !== 'plain') {
    const defines = [`-DPLUGIN="${plugin}"`, `-DDELAY_MS=${DELAY_MS}`, `-DBEFORE=${kind === 'before' ? 1 : 0}`];
    const source = join(repositoryRoot, 'test/root/fixtures/delayed-plugin.c');
    execFileSync('gcc', ['-O2', '-static', ...defines, source, '-o', join(folder, 'flannel')]);
  }
  const from = { folder: kind === 'plain' ? join(folder, 'real') : folder, description: kind };
  const nothing = { floor: undefined, debian: undefined, chain: undefined };
  const [variant] = comparedVariants(node, setting, { weft: from, ...nothing });
  if (variant === undefined) throw new Error('no variant');
  return { ...variant, key: kind, name: kind };
}

/** The smallest sample of every span and segment, in milliseconds. */
function smallest(samples: readonly PodSample[], variant: Kind): Record<string, number> {
  const timelines = (kind: PodSample['kind']) =>
    samples.filter((each) => each.variant === variant && each.kind === kind).map(({ timeline }) => timeline);
  const owner = { key: '', name: '', role: 'weft' } as const;
  const figures = [...spanFigures(owner, timelines('udp')), ...segmentFigures(owner, timelines('traced'))];
  return Object.fromEntries(figures.map((each) => [each.key.slice(1), Math.min(...samplesOfFigure(each))]));
}

test('a delay shows in the segment it is in', { retry: 2, timeout: 600_000 }, async () => {
  const lab = await startLab({ nodes: 2 });
  onTestFinished(() => lab.down());
  const [node, other] = [lab.node('node-1'), lab.node('node-2')];
  const target = await other.addPod();
  await node.addPod();
  const folder = mkdtempSync(join(makeSetting().scratch, 'tracefs-'));
  const tracing = await openTracing(folder, MILESTONE_EVENTS);
  needs.machine(typeof tracing !== 'string', `the kernel’s trace: ${tracing}`);
  if (typeof tracing === 'string') return;
  onTestFinished(() => tracing.close());
  tracing.follow(childrenOf(node.pid));
  const variants = (['plain', 'before', 'after'] as const).map((kind) => variantOf(node, kind));
  const samples = await measureRounds({ node, target, variants, tracing }, ROUNDS);
  expect(samples.flatMap(({ failure }) => failure ?? [])).toEqual([]);
  const [plain, before, after] = (['plain', 'before', 'after'] as const).map((kind) => smallest(samples, kind));
  const added = (found: Record<string, number> | undefined, span: string): number =>
    (found?.[span] ?? Number.NaN) - (plain?.[span] ?? Number.NaN);

  for (const span of ['T5-T0', 'T7-T0', 'T2-T1']) {
    expect(added(before, span), `before: ${span}`).toBeGreaterThan(DELAY_MS - 0.5);
    expect(added(before, span), `before: ${span}`).toBeLessThan(MOST_MS);
  }
  for (const span of ['T1-T0', 'T3-T2', 'T7-T6'])
    expect(Math.abs(added(before, span)), `before: ${span}`).toBeLessThan(NOISE_MS);

  expect(added(after, 'T5-T0'), 'after: T5-T0').toBeGreaterThan(DELAY_MS - 0.5);
  expect(added(after, 'T5-T0'), 'after: T5-T0').toBeLessThan(MOST_MS);
  for (const span of ['T7-T0', 'T2-T1', 'T3-T2'])
    expect(Math.abs(added(after, span)), `after: ${span}`).toBeLessThan(NOISE_MS);
});
