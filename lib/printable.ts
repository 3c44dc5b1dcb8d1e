// Makes text from others safe to print. Names, annotations and error texts may contain terminal commands (ESC, the C1 controls
// U+0080–9F), line ends that imitate a line of ours, or characters that change the direction of writing.

/** Control characters, lone surrogates, line separators, and characters that change the direction of writing (UAX #9). */
const UNSAFE = /[\p{Cc}\p{Cs}\u2028\u2029\p{Bidi_Control}]/gu;
/** The same without C0. A JSON text has escaped these in its data already, and uses them for its layout. */
const UNSAFE_IN_JSON = /[\u007f-\u009f\p{Cs}\u2028\u2029\p{Bidi_Control}]/gu;

/** One line of text with every such character spelled: `\x1b`, `\u202e`. */
export function printable(text: string): string {
  return text.replace(UNSAFE, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : unicodeEscape(code);
  });
}

/** Returns a JSON text with the same meaning, in which every such character is a JSON escape. */
export function printableJson(json: string): string {
  return json.replace(UNSAFE_IN_JSON, (character) => unicodeEscape(character.charCodeAt(0)));
}

function unicodeEscape(code: number): string {
  return `\\u${code.toString(16).padStart(4, '0')}`;
}
