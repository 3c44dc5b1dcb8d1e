import { describe, expect, test } from 'vitest';
import { recordingLog } from '../../test/support/recording-log.ts';
import { storeChecks, waitingFor } from './store-check.ts';
import { StoreTroubles } from './store-troubles.ts';

function makeTroubles() {
  let seconds = 0;
  const troubles = new StoreTroubles(() => new Date(Date.UTC(2026, 0, 1, 0, 0, seconds++)));
  return { troubles, log: troubles.failureLog(recordingLog().log) };
}

describe('what a store cannot do', () => {
  test('is kept with the text of the log and the time of the first failure, until it works again', () => {
    const { troubles, log } = makeTroubles();
    log.failed('watch', 'ECONNREFUSED', {}, 'nodes cannot be watched');
    log.failed('watch', '403 Forbidden', {}, 'nodes cannot be watched');
    log.failed('podCIDR', 'node "a" pod cidr not assigned: waiting', {}, 'pod cidr not assigned');
    expect(troubles.list()).toEqual([
      { text: 'nodes cannot be watched: 403 Forbidden', since: new Date('2026-01-01T00:00:00Z') },
      { text: 'node "a" pod cidr not assigned: waiting', since: new Date('2026-01-01T00:00:01Z') },
    ]);
    log.recovered('watch', {}, 'nodes can be watched again');
    log.recovered('podCIDR', {}, 'pod cidr assigned');
    expect(troubles.list()).toEqual([]);
  });

  test('is kept separately when two parts of a store use the same key', () => {
    const { troubles, log } = makeTroubles();
    const other = troubles.failureLog(recordingLog().log);
    log.failed('read', 'x', {}, 'one');
    other.failed('read', 'y', {}, 'two');
    other.recovered('read', {}, 'two works');
    expect(troubles.list().map(({ text }) => text)).toEqual(['one: x']);
  });

  test('is shown in one line, which has the first of many', () => {
    const { troubles, log } = makeTroubles();
    expect(storeChecks(troubles.list())).toEqual([]);
    expect(waitingFor('the lease', troubles.list())).toBe('waiting for the lease');
    for (const peer of [1, 2, 3, 4, 5]) log.failed(`get ${peer}`, 'timeout', {}, `node ${peer} cannot be read`);
    expect(waitingFor('the lease', troubles.list())).toMatch(/^waiting for the lease: node 1 cannot .*; and 2 more$/);
    const [check, ...others] = storeChecks(troubles.list());
    expect(others).toEqual([]);
    expect(check?.required).toBe(false);
    expect(check?.problem).toMatch(/^since 2026-01-01T00:00:00.000Z: node 1 .*; since .*node 3 cannot .*; and 2 more$/);
  });
});
