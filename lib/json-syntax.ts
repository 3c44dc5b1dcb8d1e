// Where JSON text is wrong, and what should stand there: asked only after JSON.parse refused, as its own words differ
// between engines, often name no place, and quote the document, which may hold secrets. RFC 8259, without recursion.

/** Longer text has no line a person would look at, and under QuickJS the search would take a second a megabyte. */
const MAX_LENGTH = 64 * 1024;

/** `line 3 column 5: expected a value, got "}"`; undefined when the text is well-formed, or longer than 64 Ki. */
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

/** What a token does: begin or end an object or list, complete a value, or (any other text) lead to that state. */
const OPEN = 'open';
const CLOSE = 'close';
const DONE = 'done';
const END = 'the end of the text';
const valueTokens = { '{': OPEN, '[': OPEN, string: DONE, scalar: DONE };

/** For every state, named by what its message says is expected: which tokens may come, and what they do. */
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

/** The state after the token; `open` holds the brackets not closed yet. */
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

/** The end of the token that begins at `at`; `at` itself when none does. A wrong string ends nowhere in particular. */
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
