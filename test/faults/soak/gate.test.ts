import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Gate } from './gate.ts';

/** Notes when each of its pieces of work begins and ends. */
class Diary {
  readonly lines: string[] = [];

  work(name: string): () => Promise<string> {
    return async () => {
      this.lines.push(`${name} begins`);
      await sleep(5);
      this.lines.push(`${name} ends`);
      return name;
    };
  }
}

test('actions on different nodes overlap, actions on one node do not', async () => {
  const [gate, diary] = [new Gate(), new Diary()];
  await Promise.all([
    gate.together('a', diary.work('a1')),
    gate.together('b', diary.work('b1')),
    gate.together('a', diary.work('a2')),
  ]);
  expect(diary.lines.slice(0, 2)).toEqual(['a1 begins', 'b1 begins']);
  expect(diary.lines.indexOf('a2 begins')).toBeGreaterThan(diary.lines.indexOf('a1 ends'));
});

test('an action that runs alone waits for all others, and all others wait for it', async () => {
  const [gate, diary] = [new Gate(), new Diary()];
  await Promise.all([
    gate.together('a', diary.work('before')),
    sleep(1).then(() => gate.alone(diary.work('alone'))),
    sleep(2).then(() => gate.together('b', diary.work('after'))),
    sleep(2).then(() => gate.alone(diary.work('alone too'))),
  ]);
  const order = diary.lines;
  expect(order.slice(0, 4)).toEqual(['before begins', 'before ends', 'alone begins', 'alone ends']);
  for (const name of ['after', 'alone too']) {
    expect(order.indexOf(`${name} ends`)).toBe(order.indexOf(`${name} begins`) + 1);
  }
});

test('a failure is reported to its caller and stops no other action', async () => {
  const gate = new Gate();
  const fails = (): Promise<never> => Promise.reject(new Error('no'));
  await expect(gate.together('a', fails)).rejects.toThrow('no');
  await expect(gate.alone(fails)).rejects.toThrow('no');
  expect(await gate.together('a', () => Promise.resolve('yes'))).toBe('yes');
  expect(await gate.alone(() => Promise.resolve('yes'))).toBe('yes');
});
