import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { EBUSY, EINVAL, ENODEV } from '../../lib/sys/errno.ts';
import { vxlanLease } from '../../test/support/leases.ts';
import { type device, ReconcilerBench } from '../../test/support/reconciler-bench.ts';
import type { Lease } from '../subnet/manager.ts';

const two = vxlanLease('10.244.2.0/24', '192.168.50.12', '02:00:00:00:01:02');
const three = vxlanLease('10.244.3.0/24', '192.168.50.13', '02:00:00:00:01:03');

describe('Reconciler', () => {
  test('programs peers, logs each once with its commands, and then does and logs nothing', async () => {
    const bench = new ReconcilerBench();
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

  test('wants to run again when the last events before the comparison cast doubt on the listing', async () => {
    const bench = new ReconcilerBench();
    const settle = vi.spyOn(bench.kernel, 'settle').mockImplementation(() => {
      // The third call comes after the plan, from where on nothing is listed again.
      if (settle.mock.calls.length === 3) bench.reconciler.doubt();
      return Promise.resolve();
    });
    await bench.run({ two });
    expect([settle.mock.calls.length, bench.reconciler.hasNews]).toEqual([3, true]);
    settle.mockRestore();
    await bench.runQuietly({ two });
    expect(bench.reconciler.hasNews).toBe(false);
  });

  test('tries a peer that the kernel refuses again, without a delay of the others', async () => {
    const bench = new ReconcilerBench();
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
    expect(bench.said().sort()).toEqual(['info: peer added', 'warn: peer could not be programmed, will retry']);
    expect(retryMs).toBeGreaterThan(0);

    // The retry is not due yet, and runs for other reasons must not try it.
    bench.asked();
    await bench.run({ two, three });
    expect(bench.asked()).toEqual([]);

    bench.nowMs += retryMs ?? 0;
    bench.kernel.refuse = () => undefined;
    expect(await bench.run({ two, three })).toBeUndefined();
    expect(bench.reconciler.problems()).toEqual([]);
    expect(bench.kernel.names('route')).toHaveLength(2);
  });

  test('does not ask for another run for a peer that another program has repaired', async () => {
    const bench = new ReconcilerBench();
    const command = '+route 10.244.2.0/24';
    bench.kernel.refuse = (change) => (change === command ? EINVAL : undefined);
    await bench.run({ two, three });
    const other = new ReconcilerBench();
    await other.run({ two, three });
    for (const [name, object] of other.kernel.objects) bench.kernel.objects.set(name, object);
    expect(await bench.run({ two, three })).toBeUndefined();
    expect(bench.reconciler.problems()).toEqual([]);
    // Restoring the former state is a repair, then.
    bench.said();
    bench.kernel.refuse = () => undefined;
    bench.kernel.objects.delete('route 10.244.2.0/24');
    await bench.run({ two, three });
    expect(bench.said()).toEqual(['info: peer repaired']);
  });

  test('tries a failing peer at once when its lease changed', async () => {
    const bench = new ReconcilerBench();
    bench.kernel.refuse = (change) => (change.startsWith('+fdb 02:00:00:00:01:02') ? EBUSY : undefined);
    await bench.run({ two });
    bench.asked();
    await bench.run({ two: vxlanLease('10.244.2.0/24', '192.168.50.12', '02:00:00:00:01:22') });
    expect(bench.asked()).toContain('+fdb 02:00:00:00:01:22');
    expect(bench.reconciler.problems()).toEqual([]);
  });

  test('logs the same failure less and less often', async () => {
    const bench = new ReconcilerBench();
    bench.kernel.refuse = (change) => (change.startsWith('+route') ? EINVAL : undefined);
    for (let attempt = 0; attempt < 12; attempt++) {
      await bench.run({ two });
      bench.nowMs += 60_000;
    }
    const warnings = bench.lines.filter(({ level }) => level === 'warn');
    expect(warnings.map(({ count }) => count)).toEqual([1, 10]);
    expect(bench.reconciler.problems()[0]?.reason).toContain('tried 12 times');
  });

  test('repairs what another program has changed, and logs what it found', async () => {
    const bench = new ReconcilerBench();
    await bench.run({ two });
    bench.said();
    bench.kernel.objects.delete('route 10.244.2.0/24');
    bench.kernel.objects.delete('fdb 02:00:00:00:01:02');
    await bench.run({ two });
    expect(bench.lines).toMatchObject([{ peer: 'two', msg: 'peer repaired', was: 'fdb missing, route missing' }]);
  });

  test('repairs five times in an endless fight, then once a second, and asks for these runs', async () => {
    const bench = new ReconcilerBench();
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

  test('removes what a lease no longer needs, and succeeds when it was gone already', async () => {
    const bench = new ReconcilerBench();
    await bench.run({ two, three });
    bench.said();
    bench.kernel.refuse = (change) => (change.startsWith('-nexthop') ? 2 : undefined);
    await bench.run({ three });
    expect(bench.said()).toEqual(['info: peer removed']);
    expect(bench.kernel.names('route')).toEqual(['route 10.244.3.0/24']);
  });

  test('tries again to remove a leftover that the kernel refuses to remove', async () => {
    const bench = new ReconcilerBench();
    await bench.run({ two });
    bench.kernel.refuse = (change) => (change.startsWith('-fdb') ? EBUSY : undefined);
    const retryMs = await bench.run({});
    expect(bench.reconciler.problems()).toMatchObject([{ key: 'two' }]);
    bench.asked();
    await bench.run({});
    expect(bench.asked()).toEqual([]);
    bench.nowMs += retryMs ?? 0;
    bench.kernel.refuse = () => undefined;
    await bench.run({});
    expect([bench.reconciler.problems(), bench.kernel.names()]).toEqual([[], []]);
  });

  test('reports an unusable lease when it appears and when it is gone, and not in between', async () => {
    const bench = new ReconcilerBench();
    const bad = { ...two, backendData: 'x' };
    await bench.run({ bad, three });
    await bench.run({ bad, three });
    expect(bench.said()).toEqual(['warn: lease cannot be used', 'info: peer added']);
    expect(bench.reconciler.problems()).toEqual([{ key: 'bad', reason: 'backend data is "x", not an object' }]);
    expect(bench.reconciler.peerCount).toBe(2);
    await bench.run({ three });
    expect(bench.said()).toEqual(['info: lease can be used again']);
  });

  test('notes in the ledger each object that another program has changed, and nothing else', async () => {
    const bench = new ReconcilerBench();
    await bench.run({ two });
    await bench.run({ two, three });
    expect(bench.drift.entries()).toEqual([]);
    bench.kernel.objects.delete('route 10.244.2.0/24');
    bench.kernel.objects.delete('fdb 02:00:00:00:01:02');
    await bench.run({ two, three });
    const place = 'flannel.1';
    expect(bench.drift.entries()).toMatchObject([
      { object: 'fdb', place, what: 'two', was: 'missing', cmd: expect.stringMatching(/^bridge fdb replace 02:/) },
      { object: 'route', place, what: 'two', was: 'missing', cmd: expect.stringMatching(/^ip route replace 10\.244/) },
    ]);
    await bench.run({ two }); // a peer that leaves is not drift
    expect(bench.drift.entries()).toHaveLength(2);
  });

  test('notes objects that another program has added', async () => {
    const bench = new ReconcilerBench();
    await bench.run({ two, three });
    const stranger = bench.kernel.objects.get('neigh 10.244.3.0');
    await bench.run({ two });
    if (stranger !== undefined) bench.kernel.objects.set('neigh 10.244.3.0', stranger);
    await bench.run({ two });
    expect(bench.drift.entries()).toMatchObject([
      {
        object: 'neigh',
        what: 'leftover neigh 10.244.3.0',
        was: 'not wanted',
        cmd: 'ip neigh del 10.244.3.0 dev flannel.1',
      },
    ]);
  });

  test('logs one line when hundreds of peers are added or repaired, and each of them at level debug', async () => {
    const bench = new ReconcilerBench();
    const leases: Record<string, Lease> = {};
    for (let node = 1; node <= 150; node++) {
      const [ip, mac] = [`192.168.51.${node}`, `02:00:00:00:02:${node.toString(16).padStart(2, '0')}`];
      leases[`n${node}`] = vxlanLease(`10.244.${node + 5}.0/24`, ip, mac);
    }
    await bench.run(leases);
    expect(bench.lines).toEqual([{ level: 'info', msg: 'peers added', dev: 'flannel.1', count: 150 }]);
    expect(bench.debugLines).toBe(150);
    bench.said();
    bench.kernel.objects.clear();
    await bench.run(leases);
    expect(bench.said()).toEqual(['info: peers repaired']);
    expect(bench.drift.entries().map(({ object, count }) => [object, count])).toEqual([
      ['neigh', 150],
      ['fdb', 150],
      ['nexthop', 150],
      ['route', 150],
    ]);
  });

  test('warns once of two peers with one public address, and programs both', async () => {
    const bench = new ReconcilerBench();
    const twin = vxlanLease('10.244.3.0/24', '192.168.50.12', '02:00:00:00:01:03');
    await bench.run({ two, twin });
    await bench.run({ two, twin, bad: { ...two, backendData: 'x' } });
    const warnings = bench.lines.filter(({ msg }) => msg === 'peer is doubtful');
    expect(warnings).toMatchObject([{ peer: 'two', err: 'public IP 192.168.50.12 is also that of twin' }]);
    expect(bench.reconciler.problems()).toContainEqual({ key: 'two', reason: warnings[0]?.['err'] });
    expect(bench.reconciler.counts).toEqual({ wanted: 3, programmed: 2, failing: 1 });
    await bench.run({ two, three });
    expect(bench.reconciler.problems()).toEqual([]);
  });

  test('counts peers wanted, programmed and failing', async () => {
    const bench = new ReconcilerBench();
    expect(bench.reconciler.counts).toEqual({ wanted: 0, programmed: 0, failing: 0 });
    bench.kernel.refuse = (change) => (change === '+route 10.244.2.0/24' ? EINVAL : undefined);
    await bench.run({ two, three, bad: { ...two, backendData: 'x' } });
    expect(bench.reconciler.counts).toEqual({ wanted: 3, programmed: 1, failing: 2 });
  });

  test('ends the run when the device disappears', async () => {
    const bench = new ReconcilerBench();
    bench.kernel.refuse = () => ENODEV;
    await expect(bench.run({ two, three })).rejects.toThrow(
      'rtnetlink: program peers of flannel.1: ENODEV (removed while its peers were programmed)',
    );
  });
});

describe('Reconciler, of what the kernel tells', () => {
  const moved = vxlanLease('10.244.2.0/24', '192.168.50.22', '02:00:00:00:01:22');

  test('applies the change of a lease without listing the kernel’s objects', async () => {
    const bench = new ReconcilerBench();
    await bench.run({ two, three });
    bench.asked();
    bench.kernel.listed = 0;
    await bench.runQuietly({ two: moved, three });
    expect(bench.asked()).toEqual(['+neigh 10.244.2.0', '+fdb 02:00:00:00:01:22', '-fdb 02:00:00:00:01:02']);
    await bench.runQuietly({ three });
    expect(bench.kernel.names('route')).toEqual(['route 10.244.3.0/24']);
    expect(bench.kernel.listed).toBe(0);
  });

  test('reacts to changes of other programs, and not to its own', async () => {
    const bench = new ReconcilerBench();
    await bench.run({ two, three });
    const hasNews: boolean[] = [];
    for (const harm of ['', 'fdb 02:00:00:00:01:02']) {
      bench.kernel.remove(harm);
      await bench.kernel.settle();
      hasNews.push(bench.reconciler.hasNews);
    }
    expect(hasNews).toEqual([false, true]);
  });

  test.for(['fdb 02:00:00:00:01:02', 'neigh 10.244.2.0', 'route 10.244.2.0/24'])(
    'restores a removed object without listing: %s',
    async (name) => {
      const bench = new ReconcilerBench();
      await bench.run({ two, three });
      bench.asked();
      bench.kernel.listed = 0;
      bench.kernel.remove(name);
      await bench.runQuietly({ two, three });
      expect([bench.asked(), bench.kernel.listed]).toEqual([[`+${name}`], 0]);
    },
  );

  test('lists everything when a nexthop goes that routes use, because the kernel sends no event for these routes', async () => {
    const bench = new ReconcilerBench();
    await bench.run({ two, three });
    const [nexthop = ''] = bench.kernel.names('nexthop');
    bench.kernel.objects.delete('route 10.244.2.0/24');
    bench.kernel.remove(nexthop);
    await bench.runQuietly({ two, three });
    expect(bench.kernel.names()).toHaveLength(8);
  });

  const damaged = async (): Promise<ReconcilerBench> => {
    const bench = new ReconcilerBench();
    await bench.run({ two, three });
    bench.kernel.objects.delete('route 10.244.3.0/24');
    return bench;
  };
  test.for<{ name: string; before: (bench: ReconcilerBench) => unknown; tunnel?: typeof device }>([
    { name: 'after a minute', before: (bench) => Object.assign(bench, { nowMs: 60_000 }) },
    { name: 'on another device', before: () => undefined, tunnel: { index: 8, name: 'flannel.1' } },
    { name: 'when events were lost', before: ({ reconciler }) => reconciler.doubt() },
  ])('lists the kernel’s objects again $name', async ({ before, tunnel }) => {
    const bench = await damaged();
    await before(bench);
    await bench.runQuietly({ two, three }, tunnel);
    expect(bench.kernel.names('route')).toContain('route 10.244.3.0/24');
  });

  test('leaves the kernel as a full run does, whatever leases come and go', { timeout: 60_000 }, async () => {
    const lease = fc
      .record({
        subnet: fc.nat(3),
        mac: fc.integer({ min: 1, max: 3 }),
        ip: fc.integer({ min: 12, max: 14 }),
        wide: fc.boolean(),
      })
      .map(({ subnet, mac, ip, wide }) => {
        const cidr = wide ? `10.244.${16 + subnet * 16}.0/20` : `10.244.${16 + subnet * 6}.0/24`;
        return vxlanLease(cidr, `192.168.50.${ip}`, `02:00:00:00:01:0${mac + 1}`);
      });
    const leases = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), lease);
    await fc.assert(
      fc.asyncProperty(fc.array(leases, { maxLength: 6 }), async (steps) => {
        const [quiet, looking] = [new ReconcilerBench(), new ReconcilerBench()];
        for (const step of steps) {
          await quiet.runQuietly(step);
          await looking.run(step);
          expect(quiet.kernel.objects).toEqual(looking.kernel.objects);
        }
      }),
      { numRuns: 30 },
    );
  });
});
