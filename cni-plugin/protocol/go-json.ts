// JSON text as Go's encoding/json writes it, so that results and saved files are the same whichever program made them. Go escapes `<`, `>`,
// `&`, U+2028 and U+2029, which JSON has only inside strings.

import { type JsonValue, stringifyJson } from '../../lib/json.ts';
import { native } from '../../lib/native.ts';

function mustEscape(code: number): boolean {
  return code === 0x3c || code === 0x3e || code === 0x26 || code === 0x2028 || code === 0x2029;
}

/** JSON text with Go's five extra characters written as \u escapes. */
export function escapeForGo(json: string): string {
  if (native.isPlain(json, '<>&')) return json;
  let out = '';
  let done = 0;
  for (let at = 0; at < json.length; at++) {
    const code = json.charCodeAt(at);
    if (!mustEscape(code)) continue;
    out += `${json.slice(done, at)}\\u${code.toString(16).padStart(4, '0')}`;
    done = at + 1;
  }
  return out + json.slice(done);
}

/** Compact JSON with sorted keys: what json.Marshal makes of a map. */
export function encodeForGo(value: JsonValue): string {
  return escapeForGo(stringifyJson(value, { sortKeys: true }));
}
