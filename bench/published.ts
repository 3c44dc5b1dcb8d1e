// Makes the README's table, between two marks, from a result that is kept in the repository, so that nobody types a figure.

import { headlineMarkdown } from './headline.ts';
import { isDisturbed } from './load.ts';
import type { RunResult } from './run-result.ts';

const END = '<!-- the end of what the bench wrote -->';
const BLOCK = new RegExp(`<!-- npm run bench -- table (\\S+) --into \\S+ -->\\n[^]*?${END}`);

/** The block for `document`: the table, and which machine it was measured on. `result` is the path of the file with the samples. */
export function publishedBlock(run: RunResult, result: string, document: string): string {
  const { machine, parts, quick } = run;
  const [kernel] = machine.kernel.split(' ');
  const disturbed = parts.filter(({ notes }) => isDisturbed(notes)).map(({ name }) => name);
  const told = [
    `${quick ? 'A quick run' : 'Measured'} on ${machine.taken.slice(0, 10)}: ${machine.cpus} × ${machine.cpu}, Linux ${kernel}.`,
    ...(disturbed.length === 0 ? [] : [`Other programs were busy meanwhile, in ${disturbed.join(', ')}.`]),
    `Every sample, the machine and the versions: [${result}](${result}).`,
  ];
  return [
    `<!-- npm run bench -- table ${result} --into ${document} -->`,
    headlineMarkdown(run),
    '',
    told.join(' '),
    END,
  ].join('\n');
}

/** `text` with its block replaced. Throws when it has none: only a person can decide where the block belongs. */
export function withPublished(text: string, block: string): string {
  if (!BLOCK.test(text))
    throw new Error(`no line <!-- npm run bench -- table FILE --into DOCUMENT --> with ${END} after it`);
  return text.replace(BLOCK, () => block);
}

/** The path of the result the block of `text` was made from; undefined without one. */
export function publishedResult(text: string): string | undefined {
  return BLOCK.exec(text)?.[1];
}
