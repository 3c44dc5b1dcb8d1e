// Writes the table of cases as the document cni-plugin/CONFORMANCE.md.

import type { Case } from './case.ts';

/** Rows of the contract that have no case, and why. */
export const leftOut: readonly { readonly numbers: readonly number[]; readonly reason: string }[] = [
  { numbers: [170, 171], reason: 'the plugins firewall and tuning are not part of this project' },
];

const HEAD = `# Conformance

Black-box cases for CNI executables: what they answer, and what they leave in the kernel and on disk. Generated from
\`test/cni/conformance/\` by \`npm run conformance -- --table\`.

    npm run conformance -- --bin dist/cni                       # ours
    npm run conformance -- --bin /usr/lib/cni --reference       # the reference plugins, which must do what they do where Weft differs
    npm run conformance -- --bin DIR --case 54 --verbose        # one row, with all calls and answers

A case has the number of its row in the contract. A letter tells several cases of one row apart, and \`@plugin\` several plugins.
Cases without a row are marked +. *Since* is the first CNI version in which the case is possible. *Reference* is
the oldest of the tried releases (0.9.1 for flannel, 1.1.1, and 1.9.1 and later as \`main\`) that behaves in this way.`;

/** The document, with a newline at its end. */
export function renderDocument(cases: readonly Case[]): string {
  const different = cases.filter(({ differs }) => differs !== undefined);
  const sections = [
    HEAD,
    `## Where we differ from the reference\n\n${table(
      ['case', 'behaviour', 'why', 'reference'],
      different.map((one) => [one.id, one.title, one.differs?.reason ?? '', tried(one)]),
    )}`,
    ...subjects(cases).map((plugin) => section(plugin, cases)),
    `## Left out\n\n${table(
      ['rows', 'why'],
      leftOut.map(({ numbers, reason }) => [numbers.join(', '), reason]),
    )}`,
  ];
  return `${sections.join('\n\n')}\n`;
}

function tried(one: Case): string {
  return one.differs?.reference === undefined ? 'not tried' : 'its own behaviour is checked';
}

function subjects(cases: readonly Case[]): string[] {
  return [...new Set(cases.map(({ plugin }) => plugin))];
}

function section(plugin: string, cases: readonly Case[]): string {
  const rows = cases
    .filter((one) => one.plugin === plugin)
    .map((one) => [
      one.numbers.length === 0 ? `${one.id} +` : one.id,
      one.title,
      one.since,
      one.needs.join(', '),
      one.differs === undefined ? (one.referenceFrom ?? '') : 'differs',
    ]);
  const name = plugin === 'chain' ? "A runtime's part: lists of plugins" : plugin;
  return `## ${name}\n\n${table(['case', 'behaviour', 'since', 'needs', 'reference'], rows)}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}
