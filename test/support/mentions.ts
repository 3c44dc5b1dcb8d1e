// Finds what a Markdown text mentions: links, and files, flags and commands in code spans and blocks.

export interface Mention {
  readonly kind: 'path' | 'file' | 'script' | 'flag' | 'option' | 'sub-command';
  readonly text: string;
  /** The line number, counted from 1. */
  readonly line: number;
}

const FOLDERS = /^(?:flanneld|cni-plugin|lib|bench|test|scripts|manifests)\/[\w./{},*-]*$/;
const OUR_FILE = /^[\w-]+(?:\.test)?\.(?:ts|mjs|ld|c|h)$/;

/** Every mention, in the order of the text. */
export function mentionsIn(markdown: string): Mention[] {
  let inBlock = false;
  return markdown.split('\n').flatMap((text, at) => {
    const line = at + 1;
    const isFence = text.startsWith('```');
    if (isFence) inBlock = !inBlock;
    if (isFence) return [];
    const found = inBlock ? inCommand(text.replace(/^\s*[$#]\s/, '')) : [...linksIn(text), ...spansIn(text)];
    return found.map((mention) => ({ ...mention, line }));
  });
}

type Found = Omit<Mention, 'line'>;

function linksIn(text: string): Found[] {
  return [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => ({ kind: 'path', text: target }));
}

function spansIn(text: string): Found[] {
  return [...text.matchAll(/`([^`]+)`/g)].flatMap(([, span = '']): Found[] => {
    if (FOLDERS.test(span)) return expand(span).map((path) => ({ kind: 'path', text: path }));
    if (OUR_FILE.test(span)) return [{ kind: 'file', text: span }];
    const option = /^--([a-z][\w-]*)(?:[= ].*)?$/.exec(span)?.[1];
    if (option !== undefined) return [{ kind: 'option', text: option }];
    return inCommand(span);
  });
}

/** Finds `npm run X`, `npm X`, `flanneld X --flag` and `node scripts/x.mjs`, up to the next `|`, `;` or `#`. */
function inCommand(text: string): Found[] {
  const words =
    text
      .split(/\s+[|;#&]|[;#]/)[0]
      ?.split(/\s+/)
      .filter((word) => !/^[A-Z_]+=/.test(word)) ?? [];
  const [program, first = '', second = ''] = words;
  if (program === 'npm') return scriptOf(first, second);
  if (program === 'node' && FOLDERS.test(first)) return [{ kind: 'path', text: first }];
  if (program !== 'flanneld') return [];
  const found: Found[] = /^[a-z]+$/.test(first) ? [{ kind: 'sub-command', text: first }] : [];
  const flags = words.flatMap((word) => /^--?([a-z][\w-]*)/.exec(word)?.[1] ?? []);
  return [...found, ...flags.map((flag): Found => ({ kind: 'flag', text: flag }))];
}

/** The npm script that a command names. npm's own commands are not checked. */
function scriptOf(first: string, second: string): Found[] {
  if (first === 'run') return [{ kind: 'script', text: second }];
  return first === 'start' || first === 'test' ? [{ kind: 'script', text: first }] : [];
}

/** Expands `a/{b,c}.ts` to `a/b.ts` and `a/c.ts`, and likewise `a/b.{ts,md}`. */
function expand(path: string): string[] {
  const braces = /^(.*)\{([^}]*)\}(.*)$/.exec(path);
  if (braces === null) return [path];
  const [, before = '', choices = '', after = ''] = braces;
  return choices.split(',').flatMap((choice) => expand(`${before}${choice}${after}`));
}
