// Counts which system calls and netlink messages the CNI executable makes and which the C floor makes, by strace(1).

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Table } from '../result.ts';
import { type CniBench, comparedVariants, FLOOR, WEFT, weftVariant } from './part.ts';
import { type CallStep, type Command, containerId, type Plan, type Step, type Variant } from './plan.ts';
import { runDriver } from './run-driver.ts';

const STRACE = '/usr/bin/strace';

/** How often each call, and each netlink message sent, appears in strace's output. */
export function countCalls(text: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  const count = (name: string): void => void counts.set(name, (counts.get(name) ?? 0) + 1);
  for (const line of text.split('\n')) {
    const call = /^(?:\d+ +)?([a-z_0-9]+)\(/.exec(line)?.[1];
    if (call === undefined) continue;
    count(call);
    if (call !== 'sendto' && call !== 'sendmsg') continue;
    for (const [, type] of line.matchAll(/nlmsg_type=(\w+)/g)) count(`sends ${type}`);
  }
  return counts;
}

/** A row for each name whose two counts differ: name, first count, second count. */
export function differentCounts(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): string[][] {
  const names = [...new Set([...a.keys(), ...b.keys()])].sort();
  return names
    .filter((name) => (a.get(name) ?? 0) !== (b.get(name) ?? 0))
    .map((name) => [name, `${a.get(name) ?? 0}`, `${b.get(name) ?? 0}`]);
}

/** Runs both under strace once and returns a table for each command. Rejects when there is no strace. */
export async function compareCalls(bench: CniBench): Promise<Table[]> {
  const { setting } = bench;
  const [weft, floor] = [WEFT, FLOOR].map((name) => comparedVariants(bench).find((variant) => variant.name === name));
  if (weft === undefined || floor === undefined) throw new Error('nothing to compare');
  const traced = (variant: Variant, node: number, command: Command): Variant => ({
    ...variant,
    node,
    path: STRACE,
    argv: [
      STRACE,
      '-f',
      '-qq',
      '-v',
      '-s',
      '64',
      '-o',
      traceFile(setting.scratch, variant.name, command),
      variant.path,
    ],
  });
  const variants = [
    weftVariant(bench, 'warmer', 0, weft.config),
    weftVariant(bench, 'warmer', 1, weft.config),
    ...(['ADD', 'DEL'] as const).flatMap((command) => [traced(weft, 0, command), traced(floor, 1, command)]),
  ];
  const plan: Plan = { scratch: setting.scratch, nodes: 2, pods: 4, variants, steps: comparisonSteps() };
  const { results } = await runDriver(bench, plan, 'system calls');
  const [failure] = results.flatMap(({ failures }) => failures);
  if (failure !== undefined) throw new Error(`counting system calls: ${failure}`);
  return (['ADD', 'DEL'] as const).map((command) => comparison(setting.scratch, command));
}

/**
 * In both nodes one pod that stays and one that leaves first create the bridge and fill the caches. Then each command is
 * traced. The variants are the two that warm up, then ADD of both, then DEL of both.
 */
function comparisonSteps(): Step[] {
  const call = (variant: number, command: Command, pod: number, container: number): CallStep => ({
    kind: 'call',
    variant,
    command,
    attachment: { containerId: containerId(container), pod },
    pauseMs: 0,
  });
  return [
    ...[0, 1].flatMap((node) => [call(node, 'ADD', 2 + node, 10 + node), call(node, 'ADD', node, node)]),
    ...[0, 1].map((node) => call(node, 'DEL', node, node)),
    ...[call(2, 'ADD', 0, 2), call(4, 'DEL', 0, 2), call(3, 'ADD', 1, 3), call(5, 'DEL', 1, 3)],
    ...[0, 1].map((node) => call(node, 'DEL', 2 + node, 10 + node)),
  ];
}

/** The file with strace's output for a variant's command. */
export function traceFile(scratch: string, name: string, command: Command): string {
  return join(scratch, `strace-${name.replaceAll(' ', '-')}-${command}`);
}

function comparison(scratch: string, command: Command): Table {
  const [weft, floor] = [WEFT, FLOOR].map((name) =>
    countCalls(readFileSync(traceFile(scratch, name, command), 'utf8')),
  );
  if (weft === undefined || floor === undefined) throw new Error('nothing was traced');
  const total = (counts: ReadonlyMap<string, number>): number =>
    [...counts].reduce((sum, [name, count]) => (name.startsWith('sends ') ? sum : sum + count), 0);
  const title = `${command}: ${total(weft)} system calls, the C floor ${total(floor)}; differences`;
  return { title, head: ['', WEFT, FLOOR], rows: differentCounts(weft, floor) };
}
