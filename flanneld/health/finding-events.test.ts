import { describe, expect, test } from 'vitest';
import type { Finding } from './finding.ts';
import { FindingEvents } from './finding-events.ts';

const finding = (id: string, peer?: string, severity: Finding['severity'] = 'error'): Finding => ({
  ...{ id, severity, node: 'node-1', cause: 'it is broken', evidence: 'no answer', fix: 'mend it' },
  ...(peer !== undefined && { peer }),
});

/** Calls `look` every five seconds from `from` to `to`, both in seconds, and returns the reasons with their time. */
function lookUntil(events: FindingEvents, from: number, to: number, findings: (sec: number) => readonly Finding[]) {
  const told: string[] = [];
  for (let sec = from; sec <= to; sec += 5) {
    for (const { reason } of events.look(findings(sec), sec * 1000)) told.push(`${sec} ${reason}`);
  }
  return told;
}

describe('FindingEvents', () => {
  test('makes one Event for a lasting problem, and one for its end', () => {
    const told = lookUntil(new FindingEvents(), 0, 120, (sec) =>
      sec < 60 ? [finding('tunnel-port-blocked', 'node-2')] : [],
    );
    expect(told).toEqual(['10 TunnelPortBlocked', '65 TunnelPortBlockedEnded']);
  });

  test('uses the doctor’s words, and makes one Event for many peers', () => {
    const events = new FindingEvents();
    const many = Array.from({ length: 30 }, (_, n) => finding('tunnel-port-blocked', `node-${n + 2}`));
    events.look(many, 0);
    expect(events.look(many, 10_000)).toEqual([
      {
        reason: 'TunnelPortBlocked',
        message:
          'tunnel-port-blocked (30 peers: node-2, node-3, node-4, node-5, node-6 and 25 more): it is broken. Seen: no answer. Fix: mend it',
        isEnd: false,
      },
    ]);
    events.look([], 15_000);
    expect(events.look([], 200_000)).toMatchObject([
      { message: 'tunnel-port-blocked has ended, after 10 s', isEnd: true },
    ]);
  });

  test('makes no Event for a problem that is soon over, and for findings of severity info', () => {
    expect(lookUntil(new FindingEvents(), 0, 60, (sec) => (sec === 5 ? [finding('peer-slow')] : []))).toEqual([]);
    expect(lookUntil(new FindingEvents(), 0, 60, () => [finding('flannel-here', undefined, 'info')])).toEqual([]);
  });

  test('makes an Event at most every five minutes for a problem that comes and goes', () => {
    const told = lookUntil(new FindingEvents(), 0, 900, (sec) => (sec % 60 < 30 ? [finding('peer-slow')] : []));
    const appeared = told.filter((line) => line.endsWith(' PeerSlow'));
    expect(appeared).toEqual(['10 PeerSlow', '310 PeerSlow', '610 PeerSlow']);
    expect(told.filter((line) => line.endsWith('PeerSlowEnded'))).toHaveLength(3);
  });

  test('makes Events for at most twenty problems an hour, and for others later', () => {
    const ids = Array.from({ length: 30 }, (_, n) => finding(`problem-${n}`));
    const told = lookUntil(new FindingEvents(), 0, 3700, () => ids);
    expect(told.filter((line) => Number(line.split(' ')[0]) < 3600)).toHaveLength(20);
    expect(told).toHaveLength(30);
  });
});
