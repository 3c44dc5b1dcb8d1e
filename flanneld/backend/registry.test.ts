import { describe, expect, test } from 'vitest';
import { parseNetConf } from '../../lib/net-conf.ts';
import type { Backend } from './backend.ts';
import { backendFor } from './registry.ts';

function backend(netConf: object): Backend {
  return backendFor(parseNetConf(JSON.stringify({ Network: '10.244.0.0/16', ...netConf })).config.backend);
}

describe('backendFor', () => {
  test('takes vxlan by default', () => {
    expect(backend({}).type).toBe('vxlan');
  });

  test.for(['vxlan', 'host-gw', 'alloc', 'extension', 'udp'])('knows %s', (Type) => {
    expect(backend({ Backend: { Type } }).type).toBe(Type);
  });

  test.for([
    { type: 'wireguard', want: 'vxlan over an encrypted underlay' },
    { type: 'ipsec', want: 'vxlan over an encrypted underlay' },
    { type: 'ipip', want: 'vxlan, with "DirectRouting": true' },
    { type: 'tencent-vpc', want: 'alloc' },
  ])('refuses $type and names what to take instead', ({ type, want }) => {
    expect(() => backend({ Backend: { Type: type } })).toThrow(
      `net-conf: Backend.Type: Weft has no backend ${type}; instead of it: ${want}`,
    );
  });
});
