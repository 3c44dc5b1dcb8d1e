// Parses the output of iptables-save(8) into tables, chains and rules.

export interface SavedChain {
  /** `ACCEPT` or `DROP`; `-` for a chain that is not built in. */
  readonly policy: string;
  /** The rules in order, without `-A CHAIN `. */
  readonly rules: string[];
}

/** The chains by table, then by name. */
export type SavedTables = ReadonlyMap<string, ReadonlyMap<string, SavedChain>>;

/** Ignores comments and counters. Throws SyntaxError for a rule of an undeclared chain. */
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

/** The rule's target; empty when a matching packet goes on to the next rule. */
export function targetOf(rule: string): string {
  return /(?:^| )(?:-j|-g) (\S+)/.exec(rule.replaceAll(QUOTED, '""'))?.[1] ?? '';
}

/** Whether the rule refuses every packet that reaches it. */
export function refusesEverything(rule: string): boolean {
  return /^(-m comment --comment ("(?:[^"\\]|\\.)*"|\S+) )?-j (DROP|REJECT)( --reject-with \S+)?$/.test(rule);
}
