import { describe, expect, test } from 'vitest';
import { parsePrefix } from '../../../lib/ip.ts';
import { refusalParts } from './refusal-text.ts';
import { isForeignRule } from './rule-events.ts';
import type { Refusal } from './trace.ts';

const network = parsePrefix('10.244.0.0/16');
const listing = `table inet some {
	chain forward { # handle 1
		type filter hook forward priority filter; policy accept;
		ip saddr 10.0.0.0/8 counter packets 7 bytes 588 drop # handle 4
		reject with icmpx admin-prohibited # handle 14
	}
}`;

async function problem(refusal: Refusal | undefined, text = listing): Promise<string> {
  const nft = { listChain: () => (text === '' ? Promise.reject(new Error('gone')) : Promise.resolve(text)) };
  const { cause, advice } = await refusalParts('packets', network, ['cni0', 'flannel.1'], refusal, nft);
  return `${cause}: ${advice}`;
}

describe('refusalParts', () => {
  test.for<{ name: string; refusal: Refusal | undefined; text?: string; want: string }>([
    {
      name: 'a rule, without its counters, and how to pass it',
      refusal: { family: 'inet', table: 'some', chain: 'forward', handle: 4n },
      want: 'packets are refused by the rule "ip saddr 10.0.0.0/8 counter drop" of chain inet some forward: nft insert rule inet some forward ip saddr 10.244.0.0/16 accept; nft insert rule inet some forward ip daddr 10.244.0.0/16 accept',
    },
    {
      name: 'a policy',
      refusal: { family: 'ip', table: 'some', chain: 'forward' },
      want: 'packets are refused by the policy drop of chain ip some forward: nft insert',
    },
    {
      name: 'a rule that is gone meanwhile',
      refusal: { family: 'inet', table: 'some', chain: 'forward', handle: 4n },
      text: '',
      want: 'packets are refused by the rule "handle 4" of chain inet some forward: ',
    },
    {
      name: 'firewalld, by its own tool',
      refusal: { family: 'inet', table: 'firewalld', chain: 'filter_FORWARD', handle: 14n },
      want: 'packets are refused by the rule "reject with icmpx admin-prohibited" of chain inet firewalld filter_FORWARD: firewall-cmd --permanent --zone=trusted --add-interface=cni0 --add-interface=flannel.1 && firewall-cmd --reload',
    },
    {
      name: 'ufw, by its own tool',
      refusal: { family: 'ip', table: 'filter', chain: 'ufw-user-forward' },
      want: 'packets are refused by the policy drop of chain ip filter ufw-user-forward: ufw route prepend allow from 10.244.0.0/16 && ufw route prepend allow to 10.244.0.0/16',
    },
    {
      name: 'iptables on nftables, by iptables',
      refusal: { family: 'ip', table: 'filter', chain: 'DOCKER-USER' },
      want: 'packets are refused by the policy drop of chain ip filter DOCKER-USER: iptables -t filter -I DOCKER-USER -s 10.244.0.0/16 -j ACCEPT; iptables -t filter -I DOCKER-USER -d 10.244.0.0/16 -j ACCEPT',
    },
    {
      name: 'a refusal that the trace does not show',
      refusal: undefined,
      want: 'a rule that nft does not show refuses packets at the hook forward: see iptables-legacy-save',
    },
  ])('names $name', async ({ refusal, text, want }) => {
    expect((await problem(refusal, text)).startsWith(want)).toBe(true);
  });
});

describe('isForeignRule', () => {
  test.for([
    { what: 'rule', table: 'filter', chain: 'FORWARD', want: true },
    { what: 'chain', table: 'firewalld', chain: 'filter_FORWARD', want: true },
    { what: 'table', table: 'strict', want: true },
    { what: 'other', table: 'filter', want: false },
    { what: 'rule', table: 'nat', chain: 'KUBE-SVC-ABC', want: false },
    { what: 'rule', table: 'kube-proxy', chain: 'service-abc', want: false },
    { what: 'rule', table: 'weft', chain: 'forward', want: false },
    { what: 'table', table: 'weft_trace', want: false },
    { what: 'table', table: 'kube-proxy-of-mine', want: true },
  ] as const)('$what of $table: $want', ({ want, ...event }) => {
    expect(isForeignRule({ kind: 'ruleset', by: 1, ...event })).toBe(want);
  });
});
