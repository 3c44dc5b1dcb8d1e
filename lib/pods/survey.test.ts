// Tests the rule that no live pod ever loses anything, over every combination of what can be known about a node.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  everyPod,
  type Hidden,
  hasNetns,
  type JudgedHolder,
  judgeWorld,
  pods,
  type World,
  worlds,
} from '../../test/support/pod-world.ts';
import { formatIp } from '../ip.ts';

const LONG_MS = 120_000;

/** What live pods would lose. */
function lossesIn(judged: readonly JudgedHolder[]): string[] {
  return judged
    .filter(({ verdict, pod }) => verdict.isDead && hasNetns(pod))
    .map(({ holder, verdict }) => `${holder.owner || 'nobody'} ${holder.ips.map(formatIp).join()}: ${verdict.why}`);
}

function* lonelyWorlds(): Generator<World> {
  for (const pod of everyPod()) {
    yield { pods: [pod], furniture: [], sees: 'the runtime’s mounts', isBridged: true };
    yield { pods: [pod], furniture: [], sees: 'no mounts of the runtime', isBridged: true };
  }
}

/** The first combination in which a live pod would lose something when one piece of evidence is hidden. */
function findLoss(hidden?: Hidden): string | undefined {
  for (const world of lonelyWorlds()) {
    const losses = lossesIn(judgeWorld(world, hidden));
    if (losses.length > 0) return `${JSON.stringify(world)}: ${losses}`;
  }
  return undefined;
}

describe('no live pod loses anything', () => {
  test('when it is alone on the node, in every combination of what is known', { timeout: LONG_MS }, () => {
    expect(everyPod().length).toBeGreaterThan(5000);
    expect(findLoss()).toBeUndefined();
  });

  test('when it is among others, dead and alive', { timeout: LONG_MS }, () => {
    fc.assert(
      fc.property(worlds, (world) => {
        expect(lossesIn(judgeWorld(world))).toEqual([]);
      }),
      { numRuns: 10_000 },
    );
  });

  test('when its network has no bridge, while its netns has its name', { timeout: LONG_MS }, () => {
    const hasLostName = ({ held, file }: World['pods'][number]): boolean =>
      held === 'by processes, pin removed' || file === 'a stranger whose netns is gone';
    const named = worlds.filter((world) => !world.pods.some(hasLostName));
    fc.assert(
      fc.property(named, (world) => {
        expect(lossesIn(judgeWorld({ ...world, isBridged: false }))).toEqual([]);
      }),
      { numRuns: 3000 },
    );
  });

  test.for<Hidden>(['ports', 'loose ports', 'pins', 'locks', 'claims'])(
    'would be false without %s',
    { timeout: LONG_MS },
    (hidden) => {
      expect(findLoss(hidden)).toBeDefined();
    },
  );
});

describe('a dead attachment is freed', () => {
  /** After an ordinary boot only files are left of the pods. */
  const boots = worlds.map((world): World => {
    const dead = world.pods.map((pod) => ({ ...pod, life: 'dead' as const }));
    const furniture = world.furniture.filter((one) => one === 'uplink' || one === 'docker' || one === 'other network');
    return { ...world, pods: dead, furniture, sees: 'the runtime’s mounts' };
  });
  const keptOfDead = (world: World): string[] =>
    judgeWorld(world)
      .filter(({ verdict, pod, holder }) => pod.life === 'dead' && !verdict.isDead && !holder.mayBeAddedUnseen)
      .map(({ holder, verdict }) => `${holder.owner}: ${verdict.why}`);

  test('after an ordinary boot, without exception', { timeout: LONG_MS }, () => {
    fc.assert(
      fc.property(boots, (world) => {
        expect(keptOfDead(world)).toEqual([]);
      }),
      { numRuns: 3000 },
    );
  });

  test('beside live pods of ours, whatever the runtime remembers', { timeout: LONG_MS }, () => {
    const ours = pods.filter(({ life, maker, file }) => life === 'live' && maker === 'weft' && file === 'its own');
    const mixed = fc
      .tuple(boots, fc.array(ours, { maxLength: 3 }))
      .map(([world, alive]): World => ({ ...world, pods: [...world.pods, ...alive] }));
    fc.assert(
      fc.property(mixed, (world) => {
        expect(keptOfDead(world)).toEqual([]);
      }),
      { numRuns: 3000 },
    );
  });

  test('beside live pods of the reference plugins that the runtime remembers', { timeout: LONG_MS }, () => {
    const remembered = pods.filter(
      ({ life, cache, file }) => life === 'live' && file === 'its own' && (cache === 'sandbox' || cache === 'all'),
    );
    const mixed = fc
      .tuple(boots, fc.array(remembered, { maxLength: 3 }))
      .map(([world, alive]): World => ({ ...world, pods: [...world.pods, ...alive] }));
    fc.assert(
      fc.property(mixed, (world) => {
        expect(keptOfDead(world)).toEqual([]);
      }),
      { numRuns: 3000 },
    );
  });
});
