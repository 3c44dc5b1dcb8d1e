// What iptables-save(8) prints, as tables of chains of rules.

export interface SavedChain {
  /** `ACCEPT`, `DROP`; `-` of a chain that is not built in. */
  readonly policy: string;
  /** What follows `-A CHAIN `, in order. */
  readonly rules: string[];
}

/** By table, then by chain. */
export type SavedTables = ReadonlyMap<string, ReadonlyMap<string, SavedChain>>;

/** Lines of no meaning here (comments, counters) are passed over; a rule of a chain that was not declared throws SyntaxError. */
export function parseIptablesSave(text: string): SavedTables {
  const tables = new Map<string, Map<string, SavedChain>>();
  let chains = new Map<string, SavedChain>();
  for (const line of text.split('\n')) {
    const [word = '', second = ''] = line.split(' ', 2);
    if (word.startsWith('*')) {
      chains = new Map();
      tables.set(word.slice(1), chains);
    } else if (word.startsWith(':')) {
      chains.set(word.slice(1), { policy: second, rules: [] });
    } else if (word === '-A') {
      const chain = chains.get(second);
      if (chain === undefined) throw new SyntaxError(`iptables-save printed a rule of an unknown chain ${second}`);
      chain.rules.push(line.slice(word.length + second.length + 2));
    }
  }
  return tables;
}

const QUOTED = /"(?:[^"\\]|\\.)*"/g;

/** Where a packet goes that all conditions of the rule are true for; '' when it goes on. */
export function targetOf(rule: string): string {
  return /(?:^| )(?:-j|-g) (\S+)/.exec(rule.replaceAll(QUOTED, '""'))?.[1] ?? '';
}

/** Whether every packet that comes to the rule ends there, refused. */
export function refusesEverything(rule: string): boolean {
  return /^(-m comment --comment ("(?:[^"\\]|\\.)*"|\S+) )?-j (DROP|REJECT)( --reject-with \S+)?$/.test(rule);
}
