import { expect, test } from 'vitest';
import { formatPrefix } from '../../lib/ip.ts';
import { parseNetConf } from '../../lib/net-conf.ts';
import { networksOf } from './take-lease.ts';

test('networksOf names the network of each enabled family', () => {
  const dual = { EnableIPv6: true, Network: '10.244.0.0/16', IPv6Network: 'fd00::/48' };
  const networks = networksOf(parseNetConf(JSON.stringify(dual)).config);
  expect([...networks].map(([family, network]) => [family, formatPrefix(network)])).toEqual([
    [4, '10.244.0.0/16'],
    [6, 'fd00::/48'],
  ]);
});
