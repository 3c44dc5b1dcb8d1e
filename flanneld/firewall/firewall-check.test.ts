import { beforeEach, describe, expect, test } from 'vitest';
import { NFTA_GEN_ID } from '../../lib/netfilter/nf-tables-constants.ts';
import { openFakeNetlink } from '../../lib/netlink/fake.ts';
import { EINVAL } from '../../lib/sys/errno.ts';
import { FirewallLook } from './firewall-check.ts';

const NFT_MSG_NEWGEN = 0x0a0f;

/** A rule set's number, and a firewall that counts how often it is listed. */
const kernel: { generation: number | undefined } = { generation: 0 };
const firewall: { looks: number; changes: boolean; mustLook: boolean; follows: boolean | undefined } = {
  looks: 0,
  changes: false,
  mustLook: false,
  follows: false,
};
const time = { nowMs: 0 };
const followLeases = (): boolean | undefined => {
  if (firewall.follows === true) kernel.generation = (kernel.generation ?? 0) + 1;
  return firewall.follows;
};

const { netlink } = openFakeNetlink((_, replies) => {
  const { generation } = kernel;
  if (generation === undefined) replies.error(EINVAL);
  else {
    replies.message(NFT_MSG_NEWGEN, (writer) => {
      writer.u32(0);
      writer.attrBytes(NFTA_GEN_ID, new Uint8Array([0, 0, generation >> 8, generation]));
    });
  }
});

function newLook(): FirewallLook {
  const mustLook = (): boolean => firewall.mustLook;
  const ensure = async (): Promise<boolean> => {
    firewall.looks++;
    if (firewall.changes) kernel.generation = (kernel.generation ?? 0) + 1;
    return await Promise.resolve(firewall.changes);
  };
  return new FirewallLook({ ensure, followLeases, mustLook }, netlink, () => time.nowMs);
}

beforeEach(() => {
  kernel.generation = 700;
  time.nowMs = 0;
  Object.assign(firewall, { looks: 0, changes: false, mustLook: false, follows: false });
});

/** How often the rules were listed in each run; the first run has a reason, as at the start. */
async function looks(
  runs: readonly { readonly before?: () => void; readonly reasons?: string[] }[],
): Promise<number[]> {
  const look = newLook();
  const counts: number[] = [];
  await look.run(new Set(['start']));
  for (const { before, reasons = [] } of runs) {
    before?.();
    await look.run(new Set(reasons));
    counts.push(firewall.looks);
  }
  return counts;
}

describe('FirewallLook', () => {
  test('does not read the rules again as long as the rule set’s generation is the same', async () => {
    expect(await looks([{}, {}, {}])).toEqual([1, 1, 1]);
  });

  test('reads the rules when the generation has changed, or when there is a reason', async () => {
    const another = (): void => {
      kernel.generation = 701;
    };
    expect(await looks([{ before: another }, {}, { reasons: ['leases', 'start'] }, {}])).toEqual([2, 2, 3, 3]);
  });

  test('reads the rules after an event only if the generation has changed', async () => {
    const another = (): void => {
      kernel.generation = 701;
    };
    const [event, events] = [{ reasons: ['event'] }, { before: another, reasons: ['event'] }];
    expect(await looks([event, event, events, event])).toEqual([1, 1, 2, 2]);
  });

  test('reads the rules once a minute while other programs change them all the time, and at once when there is a reason', async () => {
    const another = (): void => {
      kernel.generation = (kernel.generation ?? 0) + 1;
    };
    const minute = (): void => {
      another();
      time.nowMs += 60_000;
    };
    const runs = [
      { before: another },
      { before: another },
      { before: minute },
      { before: another, reasons: ['event'] },
    ];
    expect(await looks([...runs, {}, { before: another }])).toEqual([2, 2, 3, 4, 4, 4]);
  });

  test('reads the rules once for a firewall that needs only one check', async () => {
    firewall.mustLook = true;
    const mustNot = (): void => {
      firewall.mustLook = false;
    };
    expect(await looks([{ before: mustNot }, {}])).toEqual([1, 1]);
  });

  test('reads the rules again at once after it changed something', async () => {
    firewall.changes = true;
    expect(await looks([])).toEqual([]);
    expect(firewall.looks).toBe(2);
  });

  test('reads the rules again the next time when the second check changed something, too', async () => {
    firewall.changes = true;
    const right = (): void => {
      firewall.changes = false;
    };
    expect(await looks([{ before: right }, {}])).toEqual([3, 3]);
  });

  test.for([
    { name: 'the firewall must', set: () => Object.assign(firewall, { mustLook: true }) },
    { name: 'the kernel has no nftables', set: () => Object.assign(kernel, { generation: undefined }) },
  ])('reads the rules every time when $name', async ({ set }) => {
    set();
    expect(await looks([{}, {}])).toEqual([2, 3]);
  });

  test.for([
    { name: 'nothing of it is ours', follows: false, want: [1, 1] },
    { name: 'ours was the only change', follows: true, want: [1, 1] },
    { name: 'it cannot be followed', follows: undefined, want: [2, 2] },
  ])('does not read the rules because of changed leases alone when $name', async ({ follows, want }) => {
    firewall.follows = follows;
    expect(await looks([{ reasons: ['leases'] }, {}])).toEqual(want);
  });

  test('reads the rules when another program changed them just before the leases changed', async () => {
    firewall.follows = true;
    const another = (): void => {
      kernel.generation = 900;
    };
    expect(await looks([{ before: another, reasons: ['leases'] }, {}])).toEqual([1, 2]);
  });

  test('reads the rules when leases and another reason come together, or before all was right', async () => {
    const another = (): void => {
      kernel.generation = 701;
    };
    expect(await looks([{ before: another, reasons: ['leases', 'event'] }])).toEqual([2]);
    firewall.changes = true;
    firewall.looks = 0;
    expect(await looks([{ reasons: ['leases'] }])).toEqual([4]);
  });

  test('reads the rules again after a failure', async () => {
    let fails = true;
    const ensure = async (): Promise<boolean> => {
      firewall.looks++;
      if (fails) throw new Error('no');
      return await Promise.resolve(false);
    };
    const look = new FirewallLook({ ensure, followLeases, mustLook: () => false }, netlink, () => 0);
    await expect(look.run(new Set(['start']))).rejects.toThrow('no');
    fails = false;
    await look.run(new Set());
    await look.run(new Set());
    expect(firewall.looks).toBe(2);
  });
});
