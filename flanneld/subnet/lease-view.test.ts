import { describe, expect, test } from 'vitest';
import { LeaseView } from './lease-view.ts';
import type { LeaseSnapshot, SubnetManager } from './manager.ts';

type Tell = (snapshot: LeaseSnapshot) => void;

function manager(watch: (tell: Tell, signal: AbortSignal) => Promise<void>): SubnetManager {
  const never = (): Promise<never> => Promise.reject(new Error('not part of this test'));
  return { networkConfig: never, acquire: never, watch };
}

const snapshot = (key: string): LeaseSnapshot => ({ leases: new Map(), problems: [{ key, reason: 'x' }] });

describe('LeaseView', () => {
  test('hands out the first snapshot, then the latest, and calls the listener for the later ones', async () => {
    let tell: Tell = () => undefined;
    const heard: string[] = [];
    const view = new LeaseView(
      manager((callback) => {
        tell = callback;
        return new Promise(() => undefined);
      }),
      new AbortController().signal,
    );
    expect(view.latest.leases.size).toBe(0);
    tell(snapshot('one'));
    view.listen(() => heard.push(view.latest.problems[0]?.key ?? ''));
    tell(snapshot('two'));
    expect((await view.first()).problems[0]?.key).toBe('one');
    expect(view.latest.problems[0]?.key).toBe('two');
    expect(heard).toEqual(['two']);
  });

  test('rejects when the watch ends before there was a snapshot', async () => {
    const view = new LeaseView(
      manager(() => Promise.resolve()),
      new AbortController().signal,
    );
    await expect(view.first()).rejects.toThrow('ended before the first snapshot');
  });

  test('passes on why the cluster state was lost', async () => {
    const view = new LeaseView(
      manager(() => Promise.reject(new Error('etcd: gone'))),
      new AbortController().signal,
    );
    await expect(view.ended).rejects.toThrow('etcd: gone');
    await expect(view.first()).rejects.toThrow('etcd: gone');
  });
});
