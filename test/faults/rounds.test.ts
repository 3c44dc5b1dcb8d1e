import { expect, test } from 'vitest';
import { longestWaitMs } from './agent-process.ts';
import { removals } from './kernel-monitor.ts';
import { type Round, repeatRounds } from './rounds.ts';

const calm: Round = { lost: 1, healedMs: 10, ownGapMs: 2, agentWaitMs: 1 };

/** Returns a function that gives these rounds one after the other. */
function script(...rounds: Round[]): () => Promise<Round> {
  const left = [...rounds];
  return () => {
    const next = left.shift();
    return next === undefined ? Promise.reject(new Error('too many rounds')) : Promise.resolve(next);
  };
}

test('rounds that the machine disturbed are repeated and counted', async () => {
  const gap = { ...calm, lost: 90, ownGapMs: 21 };
  const wait = { ...calm, lost: 80, agentWaitMs: 11 };
  expect(await repeatRounds(3, script(calm, gap, calm, wait, calm))).toEqual({
    rounds: [calm, calm, calm],
    repeated: 2,
  });
});

test('a round that lost many packets counts when the machine did not disturb it', async () => {
  const bad = { ...calm, lost: 500, ownGapMs: 20, agentWaitMs: 10 };
  expect(await repeatRounds(2, script(calm, bad))).toEqual({ rounds: [calm, bad], repeated: 0 });
});

test('a machine that disturbs nearly every round is reported as unfit', async () => {
  const gap = { ...calm, ownGapMs: 50 };
  const rounds = Array.from({ length: 20 }, () => gap);
  await expect(repeatRounds(2, script(...rounds))).rejects.toThrow('10 of 10 rounds were disturbed by the machine');
});

test('the longest wait is that of a single thread, including a thread that was started meanwhile', () => {
  const before = new Map([
    ['1', 100],
    ['2', 5],
  ]);
  expect(longestWaitMs(before, new Map([...before, ['2', 9], ['3', 2]]))).toBe(4);
  expect(
    longestWaitMs(
      before,
      new Map([
        ['1', 100],
        ['3', 7],
      ]),
    ),
  ).toBe(7);
  expect(longestWaitMs(before, new Map())).toBe(0);
});

test('of the monitors’ lines, those count as removals that ip, bridge and nft mark so', () => {
  const gone = [
    'Deleted 10.244.2.0/24 nhid 1474297858 via 10.244.2.0 dev flannel.1 proto 138 onlink',
    'Deleted 7: flannel.1: <BROADCAST,MULTICAST> mtu 1450',
    'Deleted 02:00:00:00:00:01 dev flannel.1 dst 192.168.50.12 self permanent',
    'delete table ip weft',
    'delete rule ip weft postrouting handle 7',
  ];
  const kept = ['10.244.2.0/24 via 10.244.2.0 dev flannel.1', 'add table ip weft', 'add rule ip weft x return'];
  expect(removals([...gone, ...kept])).toEqual(gone);
});
