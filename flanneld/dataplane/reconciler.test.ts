import { describe, expect, test } from 'vitest';
import { EBUSY, EINVAL, ENODEV } from '../../lib/sys/errno.ts';
import { EchoKernel } from '../../test/support/echo-kernel.ts';
import { nodeOne, vxlanLease } from '../../test/support/leases.ts';
import type { Facts } from '../log.ts';
import type { Lease } from '../subnet/manager.ts';
import { PeerReconciler } from './reconciler.ts';

const device = { index: 7, name: 'flannel.1' };
const two = vxlanLease('10.244.2.0/24', '192.168.50.12', '02:00:00:00:01:02');
const three = vxlanLease('10.244.3.0/24', '192.168.50.13', '02:00:00:00:01:03');

interface Line extends Facts {
  readonly level: string;
  readonly msg: string;
}

class Bench {
  readonly kernel = new EchoKernel(device.index);
  readonly lines: Line[] = [];
  readonly reconciler: PeerReconciler;
  nowMs = 0;

  constructor() {
    const say =
      (level: string) =>
      (facts: Facts, msg: string): void =>
        void this.lines.push({ ...facts, level, msg });
    const log = { error: say('error'), warn: say('warn'), info: say('info'), debug: () => undefined };
    const clock = { now: () => this.nowMs, after: () => () => undefined };
    this.reconciler = new PeerReconciler({ netlink: this.kernel.netlink, log, clock });
  }

  run(leases: Record<string, Lease>): Promise<number | undefined> {
    return this.reconciler.run(device, new Map(Object.entries(leases)), nodeOne);
  }

  /** Messages since the last call, and forgets them. */
  said(): string[] {
    return this.lines.splice(0).map(({ level, msg }) => `${level}: ${msg}`);
  }

  /** Changes asked of the kernel since the last call, and forgets them. */
  asked(): string[] {
    return this.kernel.asked.splice(0);
  }
}

describe('PeerReconciler', () => {
  test('programs peers, says so once each with the commands, and then does and says nothing', async () => {
    const bench = new Bench();
    expect(await bench.run({ two, three })).toBeUndefined();
    expect(bench.kernel.names('route')).toEqual(['route 10.244.2.0/24', 'route 10.244.3.0/24']);
    expect(bench.lines).toMatchObject([
      { peer: 'three', dev: 'flannel.1', msg: 'peer added', cmd: expect.stringContaining('&& ip route replace') },
      { peer: 'two', msg: 'peer added' },
    ]);
    bench.said();
    bench.asked();
    await bench.run({ two, three });
    expect([bench.asked(), bench.said()]).toEqual([[], []]);
  });

  test('one peer the kernel refuses neither delays the others nor is forgotten', async () => {
    const bench = new Bench();
    bench.kernel.refuse = (change) => (change === '+route 10.244.2.0/24' ? EINVAL : undefined);
    const retryMs = await bench.run({ two, three });
    expect(bench.kernel.names('route')).toEqual(['route 10.244.3.0/24']);
    expect(bench.reconciler.problems()).toEqual([
      {
        key: 'two',
        reason: expect.stringMatching(
          /^rtnetlink: replace route 10\.244\.2\.0\/24 nhid \d+: EINVAL \(told to refuse\)/,
        ),
      },
    ]);
    expect(bench.said().sort()).toEqual(['info: peer added', 'warn: peer not programmed, will retry']);
    expect(retryMs).toBeGreaterThan(0);

    // Not due yet: other reasons to look are no reason to try it.
    bench.asked();
    await bench.run({ two, three });
    expect(bench.asked()).toEqual([]);

    bench.nowMs += retryMs ?? 0;
    bench.kernel.refuse = () => undefined;
    expect(await bench.run({ two, three })).toBeUndefined();
    expect(bench.reconciler.problems()).toEqual([]);
    expect(bench.kernel.names('route')).toHaveLength(2);
  });

  test('tries a failing peer at once when its lease changed', async () => {
    const bench = new Bench();
    bench.kernel.refuse = (change) => (change.startsWith('+fdb 02:00:00:00:01:02') ? EBUSY : undefined);
    await bench.run({ two });
    bench.asked();
    await bench.run({ two: vxlanLease('10.244.2.0/24', '192.168.50.12', '02:00:00:00:01:22') });
    expect(bench.asked()).toContain('+fdb 02:00:00:00:01:22');
    expect(bench.reconciler.problems()).toEqual([]);
  });

  test('thins out the same failure', async () => {
    const bench = new Bench();
    bench.kernel.refuse = (change) => (change.startsWith('+route') ? EINVAL : undefined);
    for (let attempt = 0; attempt < 12; attempt++) {
      await bench.run({ two });
      bench.nowMs += 60_000;
    }
    const warnings = bench.lines.filter(({ level }) => level === 'warn');
    expect(warnings.map(({ count }) => count)).toEqual([1, 10]);
    expect(bench.reconciler.problems()[0]?.reason).toContain('tried 12 times');
  });

  test('repairs what was changed behind its back, and says what it found', async () => {
    const bench = new Bench();
    await bench.run({ two });
    bench.said();
    bench.kernel.objects.delete('route 10.244.2.0/24');
    bench.kernel.objects.delete('fdb 02:00:00:00:01:02');
    await bench.run({ two });
    expect(bench.lines).toMatchObject([{ peer: 'two', msg: 'peer repaired', was: 'fdb missing, route missing' }]);
  });

  test('answers an endless fight five times, then once a second, and asks to be called for it', async () => {
    const bench = new Bench();
    await bench.run({ two });
    bench.said();
    let waits = 0;
    for (let round = 0; round < 40; round++) {
      bench.kernel.objects.delete('route 10.244.2.0/24');
      if ((await bench.run({ two })) !== undefined) waits++;
      bench.nowMs += 100;
    }
    const said = bench.said();
    expect(said.filter((line) => line === 'info: peer repaired')).toHaveLength(8);
    expect(said.filter((line) => line.startsWith('warn'))).toHaveLength(2); // the 1st and the 10th wait
    expect(waits).toBe(32);
  });

  test('removes what a lease no longer asks for, and is content when it was gone already', async () => {
    const bench = new Bench();
    await bench.run({ two, three });
    bench.said();
    bench.kernel.refuse = (change) => (change.startsWith('-nexthop') ? 2 : undefined);
    await bench.run({ three });
    expect(bench.said()).toEqual(Array.from({ length: 4 }, () => 'info: leftover removed'));
    expect(bench.kernel.names('route')).toEqual(['route 10.244.3.0/24']);
  });

  test('a leftover the kernel keeps is retried like a peer', async () => {
    const bench = new Bench();
    await bench.run({ two });
    bench.kernel.refuse = (change) => (change.startsWith('-fdb') ? EBUSY : undefined);
    const retryMs = await bench.run({});
    expect(bench.reconciler.problems()).toMatchObject([{ key: 'leftover fdb 02:00:00:00:01:02' }]);
    bench.asked();
    await bench.run({});
    expect(bench.asked()).toEqual([]);
    bench.nowMs += retryMs ?? 0;
    bench.kernel.refuse = () => undefined;
    await bench.run({});
    expect([bench.reconciler.problems(), bench.kernel.names()]).toEqual([[], []]);
  });

  test('reports a lease it leaves out when it appears and when it is gone, not in between', async () => {
    const bench = new Bench();
    const bad = { ...two, backendData: 'x' };
    await bench.run({ bad, three });
    await bench.run({ bad, three });
    expect(bench.said()).toEqual(['warn: lease left out', 'info: peer added']);
    expect(bench.reconciler.problems()).toEqual([{ key: 'bad', reason: 'backend data is "x", not an object' }]);
    expect(bench.reconciler.peerCount).toBe(2);
    await bench.run({ three });
    expect(bench.said()).toEqual(['info: lease no longer at fault']);
  });

  test('gives up the run when the device vanishes under it', async () => {
    const bench = new Bench();
    bench.kernel.refuse = () => ENODEV;
    await expect(bench.run({ two, three })).rejects.toThrow(
      'rtnetlink: program peers of flannel.1: ENODEV (removed while its peers were programmed)',
    );
  });
});
