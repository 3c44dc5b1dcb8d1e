import { describe, expect, test } from 'vitest';
import { FakeClock, settle } from '../test/support/fake-clock.ts';
import { type Loop, startLoop } from './loop-node.ts';

interface Run {
  readonly at: number;
  readonly reasons: string[];
}

function start(body: () => Promise<number | undefined>): {
  clock: FakeClock;
  runs: Run[];
  errors: unknown[];
  loop: Loop;
} {
  const clock = new FakeClock();
  const runs: Run[] = [];
  const errors: unknown[] = [];
  const loop = startLoop({
    run(reasons) {
      runs.push({ at: clock.ms, reasons: [...reasons] });
      return body();
    },
    onError: (error) => errors.push(error),
    clock,
    minGapMs: 10,
    auditMs: 1000,
  });
  return { clock, runs, errors, loop };
}

const nothing = (): Promise<undefined> => Promise.resolve(undefined);

describe('startLoop', () => {
  test('runs at once, and then at each audit', async () => {
    const { clock, runs } = start(nothing);
    await clock.advance(2500);
    expect(runs).toEqual([
      { at: 0, reasons: ['start'] },
      { at: 1000, reasons: [] },
      { at: 2000, reasons: [] },
    ]);
  });

  test('answers wake-ups that come together with one run, after the gap', async () => {
    const { clock, runs, loop } = start(nothing);
    await clock.advance(3);
    loop.wake('route');
    loop.wake('link');
    loop.wake('route');
    await clock.advance(500);
    expect(runs).toEqual([
      { at: 0, reasons: ['start'] },
      { at: 10, reasons: ['route', 'link'] },
    ]);
  });

  test('answers a single wake-up at once', async () => {
    const { clock, runs, loop } = start(nothing);
    await clock.advance(500);
    loop.wake('route');
    await clock.advance(1);
    expect(runs.at(-1)).toEqual({ at: 500, reasons: ['route'] });
  });

  test('rests after a run as long as it took, a quarter of a second at most', async () => {
    const took = [40, 2000, 0];
    const { clock, runs, loop } = start(() => {
      clock.ms += took[runs.length - 1] ?? 0;
      loop.wake('its own doing');
      return nothing();
    });
    await clock.advance(2400);
    expect(runs.slice(0, 4).map(({ at }) => at)).toEqual([0, 80, 2330, 2340]);
  });

  test('never runs twice at a time: wake-ups meanwhile give one more run', async () => {
    let finish: (() => void) | undefined;
    const { clock, runs, loop } = start(
      () =>
        new Promise((resolve) => {
          finish = () => resolve(undefined);
        }),
    );
    await clock.advance(100);
    loop.wake('a');
    loop.wake('b');
    await clock.advance(2000);
    expect(runs).toHaveLength(1);
    finish?.();
    await settle();
    await clock.advance(250);
    expect(runs.at(-1)).toEqual({ at: 2350, reasons: ['a', 'b'] });
  });

  test('runs again when the run asks for it', async () => {
    const { clock, runs } = start(() => Promise.resolve(250));
    await clock.advance(600);
    expect(runs.map(({ at }) => at)).toEqual([0, 250, 500]);
  });

  test('backs off while runs fail', async () => {
    const { clock, runs, errors } = start(() => Promise.reject(new Error('no')));
    await clock.advance(100_000);
    expect(runs.map(({ at }) => at)).toEqual([0, 100, 300, 700, 1500, 3100, 6300, 12_700, 25_500, 51_100, 81_100]);
    expect(errors).toHaveLength(runs.length);
  });

  test('tries once a second at most while runs fail, however often it is woken', async () => {
    const { clock, runs, loop } = start(() => Promise.reject(new Error('no')));
    for (let at = 0; at < 6000; at += 20) {
      loop.wake('event');
      await clock.advance(20);
    }
    expect(runs.map(({ at }) => at)).toEqual([0, 100, 300, 700, 1500, 2500, 3500, 4500, 5500]);
  });

  test('has no delay after a success', async () => {
    let fails = true;
    const { clock, runs, loop } = start(() => (fails ? Promise.reject(new Error('no')) : nothing()));
    await clock.advance(99);
    fails = false;
    await clock.advance(50);
    loop.wake('event');
    await clock.advance(20);
    expect(runs.map(({ at }) => at)).toEqual([0, 100, 149]);
  });

  test('waits for a run in progress when stopped, and runs no more', async () => {
    let finish: (() => void) | undefined;
    const { clock, runs, loop } = start(
      () =>
        new Promise((resolve) => {
          finish = () => resolve(undefined);
        }),
    );
    await clock.advance(0);
    let stopped = false;
    const stop = loop.stop().then(() => {
      stopped = true;
    });
    await settle();
    expect(stopped).toBe(false);
    finish?.();
    await stop;
    loop.wake('late');
    await clock.advance(5000);
    expect(runs).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });
});
