// Text of anybody's, made safe to show: names, annotations and error texts of others may carry terminal commands (ESC, the
// C1 controls U+0080–9F), line ends that fake a line of ours, or characters that turn the direction of writing.

/** Control characters, lone surrogates, line separators, and what changes the direction of writing (UAX #9). */
const UNSAFE = /[\p{Cc}\p{Cs}\u2028\u2029\p{Bidi_Control}]/gu;
/** The same but for C0, which a JSON text has escaped already where it is data, and uses for its own layout. */
const UNSAFE_IN_JSON = /[\u007f-\u009f\p{Cs}\u2028\u2029\p{Bidi_Control}]/gu;

/** One line of text with every such character spelled: `\x1b`, `\u202e`. */
export function printable(text: string): string {
  return text.replace(UNSAFE, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : unicodeEscape(code);
  });
}

/** A JSON text that means the same, with every such character as a JSON escape. */
export function printableJson(json: string): string {
  return json.replace(UNSAFE_IN_JSON, (character) => unicodeEscape(character.charCodeAt(0)));
}

function unicodeEscape(code: number): string {
  return `\\u${code.toString(16).padStart(4, '0')}`;
}
