import { describe, expect, test } from 'vitest';
import { formatPrefix } from '../lib/ip.ts';
import { parseNetConf } from '../lib/net-conf.ts';
import type { Logger } from './log.ts';
import { checkBackend, networksOf } from './register.ts';

function check(netConf: object): { conf: ReturnType<typeof checkBackend>; warnings: string[] } {
  const warnings: string[] = [];
  const silent = (): void => undefined;
  const log: Logger = { error: silent, info: silent, debug: silent, warn: (_, msg) => void warnings.push(msg) };
  const { config } = parseNetConf(JSON.stringify({ Network: '10.244.0.0/16', ...netConf }));
  return { conf: checkBackend(config, log), warnings };
}

describe('checkBackend', () => {
  test('takes vxlan, also by default, without a word', () => {
    expect(check({})).toMatchObject({ conf: { type: 'vxlan', vni: 1 }, warnings: [] });
    expect(check({ EnableNFTables: true }).warnings).toEqual([]);
  });

  test('refuses a backend that is still to come', () => {
    expect(() => check({ Backend: { Type: 'host-gw' } })).toThrow(
      'net-conf: Backend.Type: host-gw is not part of this version yet, expected vxlan',
    );
  });

  test('says once what it does not do', () => {
    const { warnings } = check({ Backend: { Type: 'vxlan', DirectRouting: true } });
    expect(warnings).toEqual(['no effect yet: every peer goes through the tunnel']);
  });
});

test('networksOf names the network of each enabled family', () => {
  const dual = { EnableIPv6: true, Network: '10.244.0.0/16', IPv6Network: 'fd00::/48' };
  const networks = networksOf(parseNetConf(JSON.stringify(dual)).config);
  expect([...networks].map(([family, network]) => [family, formatPrefix(network)])).toEqual([
    [4, '10.244.0.0/16'],
    [6, 'fd00::/48'],
  ]);
});
