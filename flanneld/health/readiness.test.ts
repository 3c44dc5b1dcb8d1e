import { describe, expect, test } from 'vitest';
import { Readiness } from './readiness.ts';

describe('Readiness', () => {
  test('is not ready before it knows its parts', () => {
    expect(new Readiness().checks()).toMatchObject([{ name: 'start', required: true, problem: expect.any(String) }]);
  });

  test('says what the start waits for, read anew for each request, until it knows its parts', () => {
    const readiness = new Readiness();
    let step = 'the lease';
    readiness.startWaits(() => `waiting for ${step}`);
    expect(readiness.checks()[0]?.problem).toBe('waiting for the lease');
    step = 'the leases';
    expect(readiness.checks()[0]?.problem).toBe('waiting for the leases');
    readiness.show('store', () => [{ name: 'cluster state', problem: 'silent', required: false }]);
    readiness.show('loops', () => [{ name: 'conflist', required: false }]);
    readiness.show('loops', () => []);
    readiness.expect(['device'], () => []);
    expect(readiness.checks().map(({ name }) => name)).toEqual(['device', 'cluster state']);
  });

  test('requires every part, and shows failing peers without requiring them', () => {
    const readiness = new Readiness();
    readiness.expect(['device', 'firewall'], () => [{ key: 'node-9', reason: 'has no VtepMAC' }]);
    readiness.fine('device');
    expect(readiness.isFine('device')).toBe(true);
    expect(readiness.isFine('firewall')).toBe(false);
    expect(readiness.isFine('unheard of')).toBe(false);
    expect(readiness.checks()).toEqual([
      { name: 'device', problem: undefined, required: true },
      { name: 'firewall', problem: 'not done yet', required: true },
      { name: 'peer node-9', problem: 'has no VtepMAC', required: false },
    ]);
  });

  test('becomes unready again when a part fails later', () => {
    const readiness = new Readiness();
    readiness.expect(['device'], () => []);
    readiness.fine('device');
    readiness.failed('device', new Error('the external interface is gone'));
    expect(readiness.checks()).toMatchObject([{ problem: 'the external interface is gone' }]);
  });
});
