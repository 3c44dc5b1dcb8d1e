import { afterEach, describe, expect, test, vi } from 'vitest';
import { ExecError } from '../../lib/exec-node.ts';
import { parseIp, parsePrefix } from '../../lib/ip.ts';
import { type Netfilter, netfilterOver } from '../../lib/netfilter/netfilter-socket.ts';
import { NFT_MSG_GETGEN, NFTA_GEN_ID } from '../../lib/netfilter/nf-tables-constants.ts';
import { openFakeNetlink } from '../../lib/netlink/fake.ts';
import { DriftLedger } from '../health/drift-ledger.ts';
import type { Logger } from '../health/log.ts';
import type { FirewallOptions } from './firewall.ts';
import type { FindIptables } from './iptables-programs.ts';
import type { Nft } from './nft-program.ts';
import { NftablesFirewall } from './nftables.ts';
import type { GuardedLease } from './peer-sets.ts';

const NFT_MSG_NEWGEN = 0x0a0f;

/** An nft that keeps what it is given as tables of rule texts, and lists them in a spelling of its own. */
class FakeNft implements Nft {
  readonly tables = new Map<string, string[]>();
  readonly scripts: string[] = [];
  acceptsRandom = true;
  /** How often it was asked what it accepts. */
  asked = 0;
  /** How often it listed a table. */
  lists = 0;
  /** What another program does as soon as a script has been applied. */
  afterApply: () => void = () => undefined;

  apply(script: string): Promise<void> {
    if (!this.acceptsRandom && script.includes('fully-random')) {
      return Promise.reject(
        new ExecError(['nft', '-f', '-'], 'exit 1', 'Error: Could not process rule: Not supported'),
      );
    }
    this.scripts.push(script);
    for (const line of script.trim().split('\n')) {
      const [verb, object, family, table, chain, ...rest] = line.split(' ');
      const key = `${family} ${table}`;
      if (verb === 'delete') this.tables.delete(key);
      else if (object === 'table') this.tables.set(key, this.tables.get(key) ?? []);
      else if (object === 'rule') this.tables.get(key)?.push(`${chain} ${rest.join(' ')}`);
    }
    this.afterApply();
    return Promise.resolve();
  }

  accepts(): Promise<boolean> {
    this.asked++;
    return Promise.resolve(this.acceptsRandom);
  }

  list(family: string, table: string): Promise<string | undefined> {
    this.lists++;
    const rules = this.tables.get(`${family} ${table}`);
    if (rules === undefined) return Promise.resolve(undefined);
    return Promise.resolve(JSON.stringify({ nftables: rules.map((text) => ({ rule: { chain: 'x', expr: [text] } })) }));
  }

  listChain(): Promise<string> {
    return Promise.resolve('');
  }

  listChains(): Promise<string> {
    return Promise.resolve('{"nftables":[]}');
  }
}

const noIptables: FindIptables = () => Promise.resolve({ all: [], plain: undefined, lookedFor: ['iptables'] });

class Lines {
  readonly lines: string[] = [];
  readonly log: Logger = {
    error: (_, msg) => this.lines.push(msg),
    warn: (_, msg) => this.lines.push(msg),
    info: (_, msg) => (msg.startsWith('iptables is not') ? undefined : this.lines.push(msg)),
    debug: () => undefined,
  };
}

function firewall(nft: Nft, over: Partial<FirewallOptions['families'][number]> = {}): [NftablesFirewall, string[]] {
  const network = parsePrefix('10.244.0.0/16');
  const subnet = parsePrefix('10.244.1.0/24');
  const families = [
    { family: 4 as const, vni: 1, network, subnet, masquerade: true, nonMasquerade: [], forward: true, ...over },
  ];
  const { log, lines } = new Lines();
  const tools = { nft, find: noIptables, log, drift: undefined };
  return [new NftablesFirewall({ families, fullyRandom: true }, 'because', tools), lines];
}

describe('NftablesFirewall', () => {
  test('does not count a foreign rule as its own that is added right after it wrote the table', async () => {
    const nft = new FakeNft();
    const [rules] = firewall(nft);
    await rules.ensure();
    expect(await rules.ensure()).toBe(false);
    nft.tables.get('ip weft')?.pop();
    nft.afterApply = () => nft.tables.get('ip weft')?.unshift('forward drop');
    expect(await rules.ensure()).toBe(true);
    nft.afterApply = () => undefined;
    expect(await rules.ensure()).toBe(true);
    expect(nft.tables.get('ip weft')).not.toContain('forward drop');
    expect(await rules.ensure()).toBe(false);
  });

  test('notes foreign changes of a correct table as drift, and not its own first writing', async () => {
    const nft = new FakeNft();
    const drift = new DriftLedger();
    const [network, subnet] = [parsePrefix('10.244.0.0/16'), parsePrefix('10.244.1.0/24')];
    const families = [
      { family: 4 as const, vni: 1, network, subnet, masquerade: true, nonMasquerade: [], forward: true },
    ];
    const tools = { nft, find: noIptables, log: new Lines().log, drift };
    const rules = new NftablesFirewall({ families, fullyRandom: true }, '', tools);
    nft.tables.set('ip weft', ['x left by an older version']);
    await rules.ensure();
    expect(drift.entries()).toEqual([]);
    nft.tables.get('ip weft')?.pop();
    await rules.ensure();
    nft.tables.delete('ip weft');
    await rules.ensure();
    const common = {
      object: 'firewall',
      place: 'ip weft',
      what: 'table',
      cmd: expect.stringMatching(/^nft 'add table/),
    };
    expect(drift.entries()).toMatchObject([
      { ...common, was: 'changed' },
      { ...common, was: 'missing' },
    ]);
  });

  test('writes the table once, then finds it correct and logs nothing', async () => {
    const nft = new FakeNft();
    const [rules, lines] = firewall(nft);
    expect(await rules.ensure()).toBe(true);
    expect(nft.tables.get('ip weft')).toHaveLength(8);
    expect(await rules.ensure()).toBe(false);
    expect(nft.scripts).toHaveLength(1);
    expect(lines).toEqual(['firewall table written']);
  });

  test.for([
    { name: 'the table is gone', harm: (nft: FakeNft) => nft.tables.delete('ip weft') },
    { name: 'a rule is gone', harm: (nft: FakeNft) => nft.tables.get('ip weft')?.pop() },
    { name: 'a rule was added', harm: (nft: FakeNft) => nft.tables.get('ip weft')?.unshift('forward drop') },
  ])('writes it again when $name', async ({ harm }) => {
    const nft = new FakeNft();
    const [rules] = firewall(nft);
    await rules.ensure();
    const before = [...(nft.tables.get('ip weft') ?? [])];
    harm(nft);
    expect(await rules.ensure()).toBe(true);
    expect(nft.tables.get('ip weft')).toEqual(before);
  });

  test('removes flannel’s table in the transaction that writes ours, and its table of a family that is off', async () => {
    const nft = new FakeNft();
    for (const table of ['ip flannel-ipv4', 'ip6 flannel-ipv6', 'ip kube-proxy']) nft.tables.set(table, []);
    const [rules, lines] = firewall(nft);
    await rules.ensure();
    expect([...nft.tables.keys()].sort()).toEqual(['ip kube-proxy', 'ip weft']);
    expect(nft.scripts).toHaveLength(2);
    expect(nft.scripts[0]).toMatch(/add table ip weft[\s\S]*delete table ip flannel-ipv4/);
    expect(lines).toEqual(["firewall table written, flannel's removed", "flannel's table removed"]);
  });

  test('removes its table when nothing is wanted in it', async () => {
    const nft = new FakeNft();
    nft.tables.set('ip weft', ['forward accept']);
    const [rules] = firewall(nft, { masquerade: false, forward: false });
    await rules.ensure();
    expect([...nft.tables.keys()]).toEqual([]);
    expect(await rules.ensure()).toBe(false);
  });

  test('masquerades plainly, and says so, where the kernel refuses random ports', async () => {
    const nft = new FakeNft();
    nft.acceptsRandom = false;
    const [rules, lines] = firewall(nft);
    await rules.ensure();
    expect(nft.scripts.join('')).not.toContain('fully-random');
    expect(lines[0]).toBe('kernel or nft has no fully-random masquerade, plain masquerade is used');
    expect(await rules.ensure()).toBe(false);
  });

  test('does not ask nft what it accepts before nft has refused something, nor when nft did not end', async () => {
    const nft = new FakeNft();
    const [rules] = firewall(nft);
    const apply = nft.apply.bind(nft);
    nft.apply = () => Promise.reject(new ExecError(['nft', '-f', '-'], 'timeout', ''));
    await expect(rules.ensure()).rejects.toThrow('timeout');
    nft.apply = apply;
    expect(await rules.ensure()).toBe(true);
    expect(nft.asked).toBe(0);
    expect(nft.scripts.join('')).toContain('fully-random');
  });

  describe('without a change in nftables', () => {
    afterEach(() => void vi.useRealTimers());

    test('reads the rules at the start, and once more when the check of all chains was delayed', async () => {
      vi.useFakeTimers({ toFake: ['hrtime'] });
      const [rules] = firewall(new FakeNft());
      expect(rules.mustLook()).toBe(true);
      await rules.ensure();
      vi.advanceTimersByTime(100_000);
      expect(rules.mustLook()).toBe(false);
      await rules.ensure();
      await rules.ensure();
      expect(rules.mustLook()).toBe(false);
      vi.advanceTimersByTime(100_000);
      expect(rules.mustLook()).toBe(true);
      await rules.ensure();
      expect(rules.mustLook()).toBe(false);
    });
  });

  test('tries again after nft failed', async () => {
    const nft = new FakeNft();
    const [rules] = firewall(nft);
    const apply = nft.apply.bind(nft);
    nft.apply = () => Promise.reject(new Error('exec: nft -f -: timeout'));
    await expect(rules.ensure()).rejects.toThrow('timeout');
    nft.apply = apply;
    expect(await rules.ensure()).toBe(true);
  });
});

describe('the tables beside the guard’s sets', () => {
  /** A firewall with a guard, on a kernel that counts transactions. `come` brings a peer; `others` change rules at the same moment. */
  function guarded(): {
    nft: FakeNft;
    rules: NftablesFirewall;
    come: (text: string) => void;
    others: { changes: number };
  } {
    const others = { changes: 0 };
    let generation = 700;
    let leases = new Map<string, GuardedLease>();
    const nft = new FakeNft();
    nft.afterApply = () => generation++;
    const { transport } = openFakeNetlink((message, replies) => {
      if (message.type !== NFT_MSG_GETGEN) return;
      const bytes = new Uint8Array([0, 0, generation >> 8, generation]);
      replies.message(NFT_MSG_NEWGEN, (writer) => {
        writer.u32(0);
        writer.attrBytes(NFTA_GEN_ID, bytes);
      });
    });
    const netfilter: Netfilter = {
      ...netfilterOver(transport),
      transact: (requests) => {
        if (requests.length > 0) generation += 1 + others.changes;
      },
    };
    const [network, subnet] = [parsePrefix('10.244.0.0/16'), parsePrefix('10.244.1.0/24')];
    const tunnel = {
      ...{ vni: 1, devices: ['flannel.1'], bridge: 'cni0', networks: [network], subnets: [subnet] },
      ...{ guard: 'count' as const, port: 8472, isVxlan: true, leases: () => leases, netfilter },
    };
    const options = { families: [], fullyRandom: true, tunnel };
    const rules = new NftablesFirewall(options, '', { nft, find: noIptables, log: new Lines().log, drift: undefined });
    const come = (text: string): void => {
      leases = new Map([[text, { publicIp: parseIp(text) }]]);
    };
    return { nft, rules, come, others };
  }

  test('are not listed again because the guard’s peers have changed', async () => {
    const { nft, rules, come } = guarded();
    await rules.ensure();
    const { lists } = nft;
    expect(lists).toBeGreaterThan(0);
    come('192.168.0.2');
    expect(await rules.ensure()).toBe(true);
    await rules.ensure();
    expect(nft.lists).toBe(lists);
  });

  test('are listed again when somebody else changed rules at that moment', async () => {
    const { nft, rules, come, others } = guarded();
    await rules.ensure();
    const { lists } = nft;
    come('192.168.0.2');
    others.changes = 1;
    expect(await rules.ensure()).toBe(true);
    await rules.ensure();
    expect(nft.lists).toBeGreaterThan(lists);
  });
});
