// CNI_ARGS, `K=V;K=V`: the keys that bridge and host-local read, as strictly as the Go plugins (containernetworking/cni pkg/types/args.go).

import { failure } from './error.ts';

/**
 * The values of the `known` keys. Throws code 999 for a part without exactly one `=`, and for an unknown key unless IgnoreUnknown is 1 or
 * true. Keys are case-sensitive; '' means no arguments.
 */
export function parseCniArgs(text: string, known: readonly string[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  if (text === '') return values;
  const unknown: string[] = [];
  let ignoreUnknown = false;
  for (const pair of text.split(';')) {
    const equals = pair.indexOf('=');
    if (equals < 0 || pair.indexOf('=', equals + 1) >= 0) throw failure(`ARGS: invalid pair ${JSON.stringify(pair)}`);
    const key = pair.slice(0, equals);
    if (key === 'IgnoreUnknown') ignoreUnknown = parseBoolean(pair.slice(equals + 1), pair);
    else if (known.includes(key)) values.set(key, pair.slice(equals + 1));
    else unknown.push(pair);
  }
  if (unknown.length === 0 || ignoreUnknown) return values;
  throw failure(`ARGS: unknown args [${unknown.map((pair) => JSON.stringify(pair)).join(' ')}]`);
}

function parseBoolean(text: string, pair: string): boolean {
  const lower = text.toLowerCase();
  if (lower === '1' || lower === 'true') return true;
  if (lower === '0' || lower === 'false') return false;
  throw failure(`ARGS: expected 1, true, 0 or false in ${JSON.stringify(pair)}`);
}
