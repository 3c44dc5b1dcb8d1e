import { expect, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { place, targetNamed } from '../../test/support/probe-places.ts';
import type { Asker, Reply } from './ask.ts';
import { type Candidate, choose, examineAll } from './probe-peers.ts';

const clock = new FakeClock();
const tools = { clock, nowMs: () => clock.now() };
const refused: Reply = { kind: 'refused', rttMs: 0.2, way: 'tunnel', by: undefined };

/** Peers, of which those chosen by `isDown` never answer, and how many were asked at the same time. */
function cluster(count: number, isDown: (name: string) => boolean) {
  const asked = { now: new Set<string>(), most: 0, all: new Set<string>() };
  const ask: Asker = async ({ peer }, _, timeoutMs) => {
    asked.all.add(peer);
    asked.now.add(peer);
    asked.most = Math.max(asked.most, asked.now.size);
    const isSilent = isDown(peer);
    await new Promise<void>((resolve) => void clock.after(isSilent ? timeoutMs : 1, resolve));
    asked.now.delete(peer);
    return isSilent ? { kind: 'silent' } : refused;
  };
  const all: Candidate[] = Array.from({ length: count }, (_, at) => {
    return { target: targetNamed(`node-${at}`, at + 2), place, ask };
  });
  return { asked, all };
}

async function run(all: readonly Candidate[], of: number) {
  const seen = examineAll('me', all, of, tools);
  await clock.advance(6000);
  return await seen;
}

test('names the peers that do not answer, and no other peer', async () => {
  const { all } = cluster(10, (name) => name === 'node-3');
  const { findings, ...counts } = await run(all, 10);
  expect(counts).toEqual({ probed: 10, of: 10 });
  expect(findings.map(({ id, peer }) => [id, peer])).toEqual([['peer-unreachable', 'node-3']]);
});

test('probes at most 64 peers, first those that were named, and 32 at a time', async () => {
  const { all, asked } = cluster(200, () => false);
  const first = new Set(['node-150', 'node-151']);
  const { probed, of } = await run(
    choose(all, first, () => 0.5),
    all.length,
  );
  expect([probed, of, asked.most]).toEqual([64, 200, 32]);
  expect([...first].filter((name) => !asked.all.has(name))).toEqual([]);
});

test('ends after five seconds when nobody answers, with what is known by then in one finding', async () => {
  const { all } = cluster(64, () => true);
  const { findings, probed } = await run(all, 64);
  expect(probed).toBe(64);
  expect(findings.map(({ id, peer }) => [id, peer])).toEqual([['peer-unreachable', undefined]]);
});
