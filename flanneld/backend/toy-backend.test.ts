// Shows that a backend is one new file and one line in the registry. With these its keys in net-conf.json are read and checked, and its
// peers are programmed, healed, purged, retried and shown.

import { describe, expect, test } from 'vitest';
import { parseIp, parsePrefix } from '../../lib/ip.ts';
import { parseNetConf } from '../../lib/net-conf.ts';
import { openFakeNetlink } from '../../lib/netlink/fake.ts';
import { writeIfinfomsg, writeLinkAttributes } from '../../lib/rtnetlink/link.ts';
import { RTM_GETLINK, RTM_NEWLINK } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { recordingLog } from '../../test/support/recording-log.ts';
import { type Loft, toy } from '../../test/support/toy-backend.ts';
import { DriftLedger } from '../health/drift-ledger.ts';
import type { Lease } from '../subnet/manager.ts';
import type { BackendStart, FamilySettings } from './backend.ts';
import { Overlay } from './overlay.ts';
import { BACKENDS, chooseBackend } from './registry.ts';

const settings: FamilySettings = {
  family: 4,
  network: parsePrefix('10.244.0.0/16'),
  subnet: parsePrefix('10.244.1.0/24'),
  underlay: 'eth0',
  local: parseIp('192.168.50.11'),
  publicIp: parseIp('192.168.50.11'),
};
const lease = (subnet: string, publicIp: string): Lease => ({
  subnet: parsePrefix(subnet),
  publicIp: parseIp(publicIp),
  backendType: 'toy',
});
const two = lease('10.244.2.0/24', '192.168.50.12');
const three = lease('10.244.3.0/24', '192.168.50.13');

/** What the registry chooses when it contains the toy. */
function choose(Backend: object, loft: Loft = new Map(), refuses?: (subnet: string) => boolean) {
  const { config } = parseNetConf(JSON.stringify({ Network: '10.244.0.0/16', Backend }));
  return chooseBackend(config, [...BACKENDS, toy(loft, refuses)]);
}

/** A node with that backend, whose only interface is eth0. */
function makeNode(loft: Loft, refuses?: (subnet: string) => boolean) {
  const { netlink } = openFakeNetlink((request, replies) => {
    if (request.type !== RTM_GETLINK) return;
    replies.message(RTM_NEWLINK, (writer) => {
      writeIfinfomsg(writer, 2, 1, 0);
      writeLinkAttributes(writer, 'eth0', { mtu: 1500 });
    });
  });
  const time = { nowMs: 0 };
  const drift = new DriftLedger();
  const { log, logged } = recordingLog();
  const tools = { netlink, log, drift, clock: { now: () => time.nowMs, after: () => () => undefined } };
  const backend = choose({ Type: 'Toy', Load: 1300 }, loft, refuses).make();
  const [spec] = backend.overlays({ tools } as unknown as BackendStart, [settings], { backendType: 'toy' });
  if (spec === undefined) throw new Error('no overlay');
  const overlay = new Overlay(spec, tools);
  const settle = (): Promise<void> => Promise.resolve();
  const run = (leases: Record<string, Lease>): Promise<number | undefined> =>
    overlay.run({ leases: new Map(Object.entries(leases)), problems: [] }, settle);
  return { overlay, run, drift, logged, time };
}

describe('a backend of one file and one line', () => {
  test('has its peers programmed, updated and purged, with one log line for each', async () => {
    const loft: Loft = new Map();
    const { overlay, run, logged } = makeNode(loft);
    await run({ two, three });
    expect(Object.fromEntries(loft)).toEqual({ '10.244.2.0/24': '192.168.50.12', '10.244.3.0/24': '192.168.50.13' });
    expect(overlay.status().peers).toEqual({ wanted: 2, programmed: 2, failing: 0 });
    await run({ two: lease('10.244.2.0/24', '192.168.50.22') });
    expect(Object.fromEntries(loft)).toEqual({ '10.244.2.0/24': '192.168.50.22' });
    expect(logged.map((line) => line.replace(/ \{.*"cmd":/, ' '))).toEqual([
      'peer added "pigeon train 10.244.3.0/24 192.168.50.13"}',
      'peer added "pigeon train 10.244.2.0/24 192.168.50.12"}',
      'peer changed "pigeon train 10.244.2.0/24 192.168.50.22"}',
      'peer removed "pigeon retire 10.244.3.0/24"}',
    ]);
  });

  test('has foreign changes repaired at the audit, and noted', async () => {
    const loft: Loft = new Map();
    const { run, drift, time } = makeNode(loft);
    await run({ two, three });
    loft.delete('10.244.2.0/24');
    loft.set('10.244.3.0/24', '192.168.50.99');
    loft.set('10.244.9.0/24', '192.168.50.19');
    time.nowMs = 60_000;
    await run({ two, three });
    expect(Object.fromEntries(loft)).toEqual({ '10.244.2.0/24': '192.168.50.12', '10.244.3.0/24': '192.168.50.13' });
    expect(drift.entries().map(({ object, what, was }) => ({ object, what, was }))).toEqual([
      { object: 'peer', what: 'two', was: 'missing' },
      { object: 'peer', what: 'three', was: 'flew to 192.168.50.99' },
    ]);
  });

  test('has a foreign change repaired at once when it is found after a change of its own', async () => {
    const loft: Loft = new Map();
    const { overlay, run } = makeNode(loft);
    await run({ two, three });
    expect(overlay.hasNews).toBe(false);
    loft.delete('10.244.2.0/24');
    const leases = { two, three: lease('10.244.3.0/24', '192.168.50.23') };
    await run(leases);
    expect(overlay.hasNews).toBe(true);
    await run(leases);
    expect(Object.fromEntries(loft)).toEqual({ '10.244.2.0/24': '192.168.50.12', '10.244.3.0/24': '192.168.50.23' });
  });

  test('has objects of an earlier agent purged at the start', async () => {
    const loft: Loft = new Map([['10.244.9.0/24', '192.168.50.19']]);
    const { run } = makeNode(loft);
    await run({ two });
    expect([...loft.keys()]).toEqual(['10.244.2.0/24']);
  });

  test('has a peer that the kernel refuses shown and tried again, without an effect on other peers', async () => {
    const loft: Loft = new Map();
    let isRefusing = true;
    const { overlay, run, time } = makeNode(loft, (subnet) => isRefusing && subnet === '10.244.2.0/24');
    const retryMs = (await run({ two, three })) ?? 0;
    expect([...loft.keys()]).toEqual(['10.244.3.0/24']);
    expect(overlay.status()).toMatchObject({
      peers: { wanted: 2, programmed: 1, failing: 1 },
      problems: [{ key: 'two', reason: expect.stringContaining('no such pigeon') }],
    });
    isRefusing = false;
    time.nowMs += retryMs;
    await run({ two, three });
    expect(overlay.status().peers).toEqual({ wanted: 2, programmed: 2, failing: 0 });
  });

  test('has its own key read, checked and documented', async () => {
    const { overlay, run } = makeNode(new Map());
    await run({});
    expect(overlay.mtuBytes).toBe(1300);
    expect(choose({ Type: 'toy' }).conf).toEqual({ load: 1400 });
    expect(() => choose({ Type: 'toy', Load: 9001 })).toThrow(
      'net-conf: Backend.Load: expected integer 68–9000, got 9001',
    );
    expect(choose({ Type: 'toy', Laod: 68 }).warnings).toEqual([
      'net-conf: Backend.Laod: unknown key, ignored (did you mean Load?)',
    ]);
  });

  test('is unknown when its line in the registry is missing', () => {
    const { config } = parseNetConf('{"Network":"10.244.0.0/16","Backend":{"Type":"toy"}}');
    expect(() => chooseBackend(config)).toThrow('Backend.Type: unknown backend type: "toy", expected one of vxlan');
  });
});
