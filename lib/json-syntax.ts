// Finds where JSON text is wrong and what should be there (RFC 8259, without recursion). It is used only after JSON.parse has
// refused the text. The messages of JSON.parse differ between engines, often give no place, and quote the document, which may
// contain secrets.

/** Longer texts are not examined, because nobody would read such a line, and QuickJS would need a second for each megabyte. */
const MAX_LENGTH = 64 * 1024;

/** Such as `line 3 column 5: expected a value, got "}"`; undefined when the text is well-formed or longer than 64 KiB. */
export function findSyntaxError(text: string): string | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  const fault = scanDocument(text);
  if (fault === undefined) return undefined;
  const before = text.slice(0, fault.at);
  const line = before.split('\n').length;
  const column = fault.at - before.lastIndexOf('\n');
  return `line ${line} column ${column}: expected ${fault.expected}, got ${showChar(text, fault.at)}`;
}

interface Fault {
  readonly at: number;
  readonly expected: string;
}

/**
 * What a token does: it begins or ends an object or list, completes a value, or (any other text) leads to the state of that name.
 */
const OPEN = 'open';
const CLOSE = 'close';
const DONE = 'done';
const END = 'the end of the text';
const valueTokens = { '{': OPEN, '[': OPEN, string: DONE, scalar: DONE };

/** For every state: which tokens may come and what they do. A state's name is what error messages say is expected there. */
const states: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'a value': valueTokens,
  'a value or ]': { ...valueTokens, ']': CLOSE },
  'a key in double quotes': { string: ':' },
  'a key in double quotes or }': { string: ':', '}': CLOSE },
  ':': { ':': 'a value' },
  ', or ]': { ',': 'a value', ']': CLOSE },
  ', or }': { ',': 'a key in double quotes', '}': CLOSE },
  [END]: {},
};

function scanDocument(text: string): Fault | undefined {
  const open: string[] = [];
  let expected = 'a value';
  let at = skipBlanks(text, 0);
  while (expected !== END || at < text.length) {
    const kind = tokenKind(text, at);
    const action = states[expected]?.[kind];
    if (action === undefined) return { at, expected };
    const fault = kind === 'string' ? stringFault(text, at) : undefined;
    if (fault !== undefined) return fault;
    expected = advance(action, kind, open);
    at = skipBlanks(text, tokenEnd(text, at));
  }
  return undefined;
}

/** Returns the state after the token. `open` has the brackets that are not closed yet. */
function advance(action: string, kind: string, open: string[]): string {
  if (action === OPEN) {
    open.push(kind);
    return kind === '{' ? 'a key in double quotes or }' : 'a value or ]';
  }
  if (action === CLOSE) open.pop();
  return action === CLOSE || action === DONE ? afterValue(open) : action;
}

function afterValue(open: readonly string[]): string {
  const innermost = open[open.length - 1];
  if (innermost === undefined) return END;
  return innermost === '{' ? ', or }' : ', or ]';
}

/** `string`, `scalar`, `none`, or the punctuation itself. */
function tokenKind(text: string, at: number): string {
  const char = text[at];
  if (char === undefined || tokenEnd(text, at) === at) return 'none';
  if ('{}[],:'.includes(char)) return char;
  return char === '"' ? 'string' : 'scalar';
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (at < text.length && ' \t\r\n'.includes(text[at] ?? '')) at++;
  return at;
}

/**
 * Returns the end of the token that begins at `at`, or `at` itself when no token begins there. For a wrong string the end is
 * arbitrary.
 */
function tokenEnd(text: string, at: number): number {
  const token = /["{}[\],:]|true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
  token.lastIndex = at;
  if (!token.test(text)) return at;
  if (text[at] !== '"') return token.lastIndex;
  let end = at + 1;
  while (end < text.length && text[end] !== '"') end += text[end] === '\\' ? 2 : 1;
  return end + 1;
}

/** What is wrong inside the string that begins at `at`. */
function stringFault(text: string, start: number): Fault | undefined {
  for (let at = start + 1; at < text.length; at++) {
    const char = text[at] ?? '';
    if (char === '"') return undefined;
    if (char < ' ') return { at, expected: 'no raw control character in a string' };
    if (char !== '\\') continue;
    const sequence = /["\\/bfnrt]|u[0-9a-fA-F]{4}/y;
    sequence.lastIndex = at + 1;
    if (!sequence.test(text)) return { at: at + 1, expected: 'an escape such as \\n or \\u0041' };
    at = sequence.lastIndex - 1;
  }
  return { at: text.length, expected: 'a closing double quote' };
}

function showChar(text: string, at: number): string {
  const code = text.codePointAt(at);
  return code === undefined ? 'the end of the text' : JSON.stringify(String.fromCodePoint(code));
}
