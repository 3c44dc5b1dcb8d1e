import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { place, target } from '../../test/support/probe-places.ts';
import type { Ask, Reply } from './ask.ts';
import { type Evidence, examine } from './examine.ts';

const SILENT: Reply = { kind: 'silent' };
const REFUSED: Reply = { kind: 'refused', rttMs: 0.2, way: 'tunnel', by: undefined };

async function run(answer: (ask: Ask) => Reply, isBrief = false): Promise<{ evidence: Evidence; asked: Ask[] }> {
  const asked: Ask[] = [];
  const ask = (_: unknown, what: Ask): Promise<Reply> => {
    asked.push(what);
    return Promise.resolve(answer(what));
  };
  return { evidence: await examine({ target, ask, tunnel: place.tunnel, mtu: 1450, nowMs: () => 0, isBrief }), asked };
}

describe('an examination', () => {
  test('is one packet of the pods’ full size when it is answered', async () => {
    const { asked, evidence } = await run(() => REFUSED);
    expect(asked).toEqual([{ way: 'tunnel', bytes: 1422 }]);
    expect(evidence.full).toBe(REFUSED);
  });

  test('ignores one lost packet', async () => {
    let count = 0;
    const { evidence } = await run(() => (count++ === 0 ? SILENT : REFUSED));
    expect([evidence.full, evidence.small, evidence.isSecondTry]).toEqual([REFUSED, undefined, true]);
  });

  test('finds the largest size that passes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 64, max: 1421 }), async (limit) => {
        const { evidence } = await run((ask) =>
          ask.way === 'tunnel' && (ask.bytes ?? 64) <= limit ? REFUSED : SILENT,
        );
        expect(evidence.largestBytes).toBe(limit);
      }),
      { numRuns: 40 },
    );
  });

  test('asks every question when nothing passes, and sends echoes to the kernel only where no agent answers', async () => {
    const isNode = ({ way }: Ask): boolean => way === 'node' || way === 'tcp';
    const node: Reply = { kind: 'refused', rttMs: 0.2, way: 'node', by: undefined };
    const plain = await run((ask) => (isNode(ask) ? node : SILENT));
    expect(new Set(plain.asked.map(({ way }) => way))).toEqual(new Set(['tunnel', 'node', 'tcp', 'frame', 'echo']));
    const gone = await run(() => SILENT);
    expect(gone.asked.some(({ way }) => way === 'echo')).toBe(false);
    expect(gone.evidence.faults).toMatchObject({ agent: SILENT, frame: SILENT });
  });

  test('is three packets when it only checks whether a known fault is over', async () => {
    const { asked, evidence } = await run(() => SILENT, true);
    expect([asked.length, evidence.faults]).toEqual([3, undefined]);
  });
});

test('asks the tunnel’s port, if there is one, where no tunnel packet can be made by hand', async () => {
  const { mac: _, ...bare } = target;
  const asks = async (port?: number): Promise<Ask[]> => {
    const asked: Ask[] = [];
    const ask = (__: unknown, what: Ask): Promise<Reply> => {
      asked.push(what);
      return Promise.resolve(SILENT);
    };
    const tunnel = { type: 'x', device: 'x', overheadBytes: 20, ...(port !== undefined && { port }) };
    await examine({ target: bare, ask, tunnel, mtu: 1450, nowMs: () => 0 });
    return asked;
  };
  for (const asked of [await asks(51_820), await asks()]) {
    expect(asked.filter(({ way }) => way === 'frame' || way === 'echo')).toEqual([]);
  }
  expect(await asks(51_820)).toContainEqual({ way: 'node', port: 51_820 });
});
