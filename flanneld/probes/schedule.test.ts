// Tests the schedule on a simulated clock, with up to the 5000 nodes that Kubernetes allows.

import { describe, expect, test } from 'vitest';
import { ProbeSchedule, RING, ringPlace, watchedBy } from './schedule.ts';

const NODES = 5000;
const TICK_MS = 1000;

function namesOf(count: number, except?: string): Map<string, string> {
  const names = new Map<string, string>();
  for (let at = 0; at < count; at++) if (`node-${at}` !== except) names.set(`4 node-${at}`, `node-${at}`);
  return names;
}

/** Random-looking numbers that are the same in every run. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

interface Simulation {
  /** When each target was first asked after `fromMs`, and how often in all. */
  readonly first: Map<string, number>;
  readonly asked: number;
  /** The most questions in any one second. */
  readonly most: number;
}

/** Runs one node's schedule; `fails` says which targets are down. */
function simulate(
  own: string,
  names: ReadonlyMap<string, string>,
  ms: number,
  fails: (id: string) => boolean,
  fromMs = 0,
): Simulation {
  const schedule = new ProbeSchedule({ own, random: numbers(own.length * 7919 + 17) });
  schedule.setTargets(names, 0);
  const first = new Map<string, number>();
  const known = new Set<string>();
  const bySecond: number[] = [];
  const probe = (id: string, now: number): void => {
    const second = Math.floor(now / 1000);
    bySecond[second] = (bySecond[second] ?? 0) + 1;
    if (now >= fromMs && !first.has(id)) first.set(id, now);
    const hasFailed = fails(id);
    // A failed target costs a second try, and the first time all questions that tell the causes apart.
    if (hasFailed) schedule.spend(id, known.has(id) ? 2 : 11);
    if (hasFailed) known.add(id);
    schedule.done(id, now, hasFailed);
  };
  for (let now = 0; now < ms; now += TICK_MS) {
    for (let id = schedule.next(now); id !== undefined; id = schedule.next(now)) probe(id, now);
  }
  const asked = bySecond.reduce((sum, count) => sum + (count ?? 0), 0);
  return { first, asked, most: Math.max(...bySecond.filter((count) => count > 0)) };
}

describe('among 5000 nodes', () => {
  const own = 'node-17';
  const names = namesOf(NODES, own);

  test('a node asks at most ten times a second, so that 40 packets pass it with those of others', () => {
    const { asked, most } = simulate(own, names, 60_000, () => false);
    expect(asked).toBeLessThanOrEqual(60 * 10 + 10);
    expect(most).toBeLessThanOrEqual(20);
  });

  test('every other node is asked within ten minutes, including a second try', () => {
    const { first } = simulate(own, names, 595_000, () => false);
    expect(names.size - first.size).toBe(0);
  });

  test('the same holds when the leases arrive in small groups', { timeout: 60_000 }, () => {
    const schedule = new ProbeSchedule({ own, random: numbers(3) });
    const known = new Map<string, string>();
    const asked = new Set<string>();
    const all = [...names];
    for (let now = 0; now < 620_000; now += TICK_MS) {
      for (const [id, name] of all.splice(0, 250)) {
        known.set(id, name);
        if (known.size % 40 === 0 || known.size === names.size) schedule.setTargets(known, now);
      }
      for (let id = schedule.next(now); id !== undefined; id = schedule.next(now)) {
        asked.add(id);
        schedule.done(id, now, false);
      }
    }
    expect(names.size - asked.size).toBe(0);
  });

  test('the same holds while a hundred nodes are down', () => {
    const isDown = (id: string): boolean => id.endsWith('00') || id.endsWith('50');
    const { first, asked } = simulate(own, names, 900_000, isDown);
    expect([names.size - first.size, asked <= 900 * 10 + 10]).toEqual([0, true]);
  });

  const ring = [...namesOf(NODES).values()].sort((a, b) => ringPlace(a) - ringPlace(b));
  const at = (place: number): string => ring[(place + NODES) % NODES] ?? '';

  test('each node watches the eight that follow it in the ring, so eight nodes watch each', () => {
    for (let place = 0; place < NODES; place += 250) {
      const want = Array.from({ length: RING }, (_, step) => `4 ${at(place + 1 + step)}`);
      expect([...watchedBy(at(place), namesOf(NODES, at(place)))].sort()).toEqual(want.sort());
    }
  });

  test('a node that goes down is asked by all eight that watch it within 20 seconds', () => {
    const place = ring.indexOf('node-4711');
    for (let step = 1; step <= RING; step++) {
      const watcher = at(place - step);
      const { first } = simulate(watcher, namesOf(NODES, watcher), 90_000, () => false, 60_000);
      expect((first.get('4 node-4711') ?? Number.POSITIVE_INFINITY) - 60_000).toBeLessThanOrEqual(20_000);
    }
  });

  test('a new node is not asked by all others at once', () => {
    const times: number[] = [];
    for (let node = 0; node < 15; node++) {
      const schedule = new ProbeSchedule({ own: `node-${node}`, random: numbers(node + 1) });
      schedule.setTargets(names, 0);
      const more = new Map(names).set('4 new', 'new');
      schedule.setTargets(more, 1000);
      for (let now = 1000; now < 700_000 && times.length === node; now += TICK_MS) {
        for (let id = schedule.next(now); id !== undefined; id = schedule.next(now)) {
          if (id === '4 new') times.push(now);
          schedule.done(id, now, false);
        }
      }
    }
    expect(times).toHaveLength(15);
    expect(Math.min(...times)).toBeGreaterThanOrEqual(5000);
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(60_000);
  });
});

describe('among few nodes', () => {
  const names = namesOf(50, 'node-7');

  test('each node is asked every four to seven seconds', () => {
    const { first, asked } = simulate('node-7', names, 67_000, () => false, 60_000);
    expect([first.size, asked <= (67 / 4) * 49]).toEqual([49, true]);
  });

  test('a node that fails is asked again after 2 s, then at least every 10 s, and every 5 s once it answers', () => {
    const schedule = new ProbeSchedule({ own: 'node-7', random: () => 0.5 });
    schedule.setTargets(new Map([['4 a', 'a']]), 0);
    const asked: number[] = [];
    for (let now = 0; now < 70_000; now += 250) {
      const id = schedule.next(now);
      if (id === undefined) continue;
      asked.push(now);
      schedule.done(id, now, asked.length > 1 && asked.length < 7);
    }
    const gaps = asked.slice(1).map((time, index) => (time - (asked[index] ?? 0)) / 1000);
    expect(gaps).toEqual([5, 2, 4, 8, 10, 10, 5, 5, 5, 5]);
  });

  test('a node that has changed is asked soon, like a new one', () => {
    const schedule = new ProbeSchedule({ own: 'node-7', random: () => 0.5 });
    schedule.setTargets(new Map([['4 a', 'a']]), 0);
    const asked: number[] = [];
    for (let now = 0; now < 40_000; now += 250) {
      const id = schedule.next(now);
      if (id !== undefined) {
        asked.push(now);
        schedule.done(id, now, true);
      }
      if (now === 20_000) schedule.renew('4 a', now);
    }
    expect(asked.filter((at) => at >= 20_000).map((at) => (at - 20_000) / 1000)[0]).toBe(7.5);
  });

  test('a node is not asked twice at once, and never after it has left', () => {
    const schedule = new ProbeSchedule({ own: 'node-7', random: () => 0 });
    schedule.setTargets(names, 0);
    const begun = new Set<string>();
    let times = 0;
    for (let now = 20_000; now < 60_000; now += 250) {
      for (let id = schedule.next(now); id !== undefined; id = schedule.next(now)) {
        begun.add(id);
        times++;
      }
    }
    expect([times, begun.size]).toEqual([49, 49]);
    schedule.setTargets(new Map(), 60_000);
    for (const id of begun) schedule.done(id, 60_000, true);
    expect(schedule.next(90_000)).toBeUndefined();
  });
});
