// Parses a command that is one line of text and is run without a shell: it is split at white space, and `$NAME` and `${NAME}` are
// replaced. Syntax that only a shell understands is refused, so that a command does exactly what its text says. (flannel ran these
// lines with sh until GHSA-vchx-5pr6-ffx2, and its samples still contain pipes and quotes.)

/** The names of variables that may be replaced. */
export type CommandVariables = readonly string[];

/** The words. Each is a list of literal texts and names of variables in turn. */
export interface CommandLine {
  readonly words: readonly (readonly Piece[])[];
}

type Piece = { readonly text: string } | { readonly variable: string };

/** Every character that quotes, joins commands, redirects, expands or comments in sh. */
const SHELL_SYNTAX = /[|&;<>()`'"\\*?[\]~#!{}\r\n\0]/;
const PIECES = /\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)|([^$]+)|(\$)/g;

/**
 * Parses a command whose variables are `allowed`. Throws Error, one line, for an empty command, for shell syntax and for an unknown
 * variable.
 */
export function parseCommand(text: string, allowed: CommandVariables): CommandLine {
  const words = text.trim().split(/[ \t]+/);
  if (words[0] === '') throw new Error('expected a command, got ""');
  return { words: words.map((word) => parseWord(word, allowed)) };
}

function parseWord(word: string, allowed: CommandVariables): Piece[] {
  return [...word.matchAll(PIECES)].map(([, braced, plain, literal]): Piece => {
    const variable = braced ?? plain;
    if (variable !== undefined) {
      if (allowed.includes(variable)) return { variable };
      const names = allowed.length === 0 ? 'no variable' : `one of ${allowed.map((name) => `$${name}`).join(', ')}`;
      throw new Error(`expected ${names}, got $${variable}`);
    }
    const shell = literal === undefined ? '$' : SHELL_SYNTAX.exec(literal)?.[0];
    if (shell === undefined) return { text: literal ?? '' };
    throw new Error(
      `expected words without shell syntax, got ${JSON.stringify(shell)} (no shell runs this: put it into a script and name that)`,
    );
  });
}

/** Returns the argument vector. A value is one argument or a part of one, whatever it contains. */
export function fillIn({ words }: CommandLine, values: Readonly<Record<string, string>>): [string, ...string[]] {
  const [program = '', ...rest] = words.map((word) =>
    word.map((piece) => ('text' in piece ? piece.text : (values[piece.variable] ?? ''))).join(''),
  );
  return [program, ...rest];
}
