// Characters in foreign text that must not reach a terminal. They are listed independently of the character classes in the tested code.

/** C0, DEL and C1 controls, surrogates, line separators, and the bidirectional controls of UAX #9. */
export function isUnsafe(code: number): boolean {
  return (
    code < 0x20 ||
    (code >= 0x7f && code <= 0x9f) ||
    (code >= 0xd800 && code <= 0xdfff) ||
    [0x061c, 0x200e, 0x200f, 0x2028, 0x2029].includes(code) ||
    (code >= 0x202a && code <= 0x202e) ||
    (code >= 0x2066 && code <= 0x2069)
  );
}

/** The code points of the unsafe characters in a text, except line ends. */
export function unsafeIn(text: string): number[] {
  return [...text].map((character) => character.codePointAt(0) ?? 0).filter((code) => isUnsafe(code) && code !== 0x0a);
}
