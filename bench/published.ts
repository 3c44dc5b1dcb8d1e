// Makes the README's table, between two marks, from a result that is kept in the repository, so that no figure is typed by hand.

import { isDisturbed } from './disturbance.ts';
import { headlineMarkdown } from './headline.ts';
import type { RunResult } from './run-result.ts';
import { verdictsOf } from './terminal.ts';

const END = '<!-- the end of what the bench wrote -->';
const BLOCK = new RegExp(`<!-- npm run bench -- table (\\S+(?: \\S+)*) --into \\S+ -->\\n[^]*?${END}`);

/** A run, and the path of the file with its samples. */
export interface KeptRun {
  readonly file: string;
  readonly run: RunResult;
}

/** The block for `document`: the table over all machines, which machines these are, and which limits are kept on each. */
export function publishedBlock(document: string, first: KeptRun, ...others: readonly KeptRun[]): string {
  const all = [first, ...others];
  return [
    `<!-- npm run bench -- table ${all.map(({ file }) => file).join(' ')} --into ${document} -->`,
    headlineMarkdown(first.run, ...others.map(({ run }) => run)),
    '',
    ...all.map(describeKept),
    ...(others.length === 0 ? [] : ['', limitsOnAll(all)]),
    END,
  ].join('\n');
}

function describeKept({ file, run: { machine, parts, quick } }: KeptRun): string {
  const [kernel] = machine.kernel.split(' ');
  const disturbed = parts.filter(({ notes }) => isDisturbed(notes)).map(({ name }) => name);
  return [
    `${quick ? 'A quick run' : 'Measured'} on ${machine.taken.slice(0, 10)}: ${machine.cpus} × ${machine.cpu}, Linux ${kernel}, Weft ${machine.versions['weft']}.`,
    ...(disturbed.length === 0 ? [] : [`Other programs were busy meanwhile, in ${disturbed.join(', ')}.`]),
    `Every sample, the machine and the versions: [${file}](${file}).`,
  ].join(' ');
}

/** A limit that one machine does not keep does not count as kept. */
function limitsOnAll(runs: readonly KeptRun[]): string {
  const verdicts = runs.flatMap(({ run }) => run.parts.flatMap(verdictsOf)).filter(({ limit }) => limit !== '');
  const limits = new Map(verdicts.map(({ what, limit }) => [what, limit]));
  const broken = new Set(verdicts.filter(({ kept }) => !kept).map(({ what }) => what));
  const told = [...broken].map((what) => `${what} (${limits.get(what)})`);
  return [
    `${limits.size - broken.size} of the bench’s ${limits.size} limits are kept on each of these machines.`,
    ...(told.length === 0 ? [] : [`Not kept on each: ${told.join('; ')}.`]),
  ].join(' ');
}

/** `text` with its block replaced. Throws when it has none: only a person can decide where the block belongs. */
export function withPublished(text: string, block: string): string {
  if (!BLOCK.test(text))
    throw new Error(`no line <!-- npm run bench -- table FILE --into DOCUMENT --> with ${END} after it`);
  return text.replace(BLOCK, () => block);
}

/** The paths of the results that the block of `text` was made from; none without one. */
export function publishedResults(text: string): string[] {
  return BLOCK.exec(text)?.[1]?.split(' ') ?? [];
}
