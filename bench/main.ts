// `npm run bench -- QUESTION`: one file a question, each prints its answer as a table.

import { parseArgs } from 'node:util';
import { benchStart } from './start.ts';

/** How a question is asked; `repository` is where dist and the sources are. */
type Question = (repository: string, runs: number | undefined) => void;

const questions: Readonly<Record<string, Question>> = { start: benchStart };

function main(argv: string[]): void {
  const { positionals, values } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: { runs: { type: 'string' }, repository: { type: 'string', default: process.cwd() } },
  });
  const runs = values.runs === undefined ? undefined : Number(values.runs);
  if (runs !== undefined && !(Number.isInteger(runs) && runs > 0)) throw new Error(`--runs ${values.runs}: a count`);
  const [name = ''] = positionals;
  const question = questions[name];
  if (question === undefined) throw new Error(`usage: npm run bench -- ${Object.keys(questions).join('|')} [--runs N]`);
  question(values.repository, runs);
}

try {
  main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
