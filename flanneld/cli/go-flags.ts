// Turns Go's flag syntax (package flag) into the one commander reads. In Go `-x` and `--x` are equal; a boolean takes its
// value only after `=`, and any other flag takes it after `=` or from the next word.

/** A command line that cannot be obeyed. The message is one line naming flag, value and what is allowed; exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Says how a flag takes its value; undefined for a flag that does not exist. */
export type FlagKind = (name: string) => 'boolean' | 'value' | undefined;

/** Rewrites every known flag to `--name=value` and leaves other words alone. Throws UsageError for syntax Go refuses. */
export function normalizeGoFlags(argv: readonly string[], kindOf: FlagKind): string[] {
  const out: string[] = [];
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--') return [...out, word, ...rest];
    const flag = splitFlag(word);
    out.push(flag === undefined ? word : normalizeFlag(flag, kindOf(flag.name), rest));
  }
  return out;
}

/** Takes the value from the front of `rest` when the flag needs one. */
function normalizeFlag({ name, value }: SplitFlag, kind: ReturnType<FlagKind>, rest: string[]): string {
  if (kind === undefined) return `--${name}`; // commander refuses it and suggests a similar flag
  if (value !== undefined) return `--${name}=${value}`;
  if (kind === 'boolean') return `--${name}=true`;
  const next = rest.shift();
  if (next === undefined) throw new UsageError(`--${name}: expected a value after it`);
  return `--${name}=${next}`;
}

interface SplitFlag {
  readonly name: string;
  readonly value: string | undefined;
}

/** Name and value of `-name`, `--name`, `-name=value`; undefined for a word that is not a flag. */
function splitFlag(word: string): SplitFlag | undefined {
  if (!word.startsWith('-') || word === '-') return undefined;
  const body = word.slice(word.startsWith('--') ? 2 : 1);
  if (body.startsWith('-') || body.startsWith('=')) throw new UsageError(`${word}: bad flag syntax`);
  const equals = body.indexOf('=');
  return equals < 0 ? { name: body, value: undefined } : { name: body.slice(0, equals), value: body.slice(equals + 1) };
}
