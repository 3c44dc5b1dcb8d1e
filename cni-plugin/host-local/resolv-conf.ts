// The part of resolv.conf(5) that host-local puts into a result (…/host-local/dns.go).

import type { Dns } from '../protocol/result.ts';

/** Reads `nameserver`, `domain` (the last counts), `search` and `options`; `#` and `;` begin a comment. */
export function parseResolvConf(text: string): Dns {
  const dns = { nameservers: [] as string[], domain: '', search: [] as string[], options: [] as string[] };
  for (const line of text.split('\n')) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#') || trimmed.startsWith(';')) continue;
    const [keyword = '', ...values] = trimmed.split(/\s+/);
    const [first] = values;
    if (first === undefined) continue;
    if (keyword === 'nameserver') dns.nameservers.push(first);
    else if (keyword === 'domain') dns.domain = first;
    else if (keyword === 'search') dns.search.push(...values);
    else if (keyword === 'options') dns.options.push(...values);
  }
  return dns;
}
