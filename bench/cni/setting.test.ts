import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { formatIp } from '../../lib/ip.ts';
import { parseSubnetEnv } from '../../lib/subnet-env.ts';
import { bridgeConfig, fillAddresses, flannelConfig, usedAddresses } from './setting.ts';

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'weft-setting-'));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

describe('usedAddresses', () => {
  const used = usedAddresses(20_000).map(formatIp);

  test('are as many different ones as asked for', () => {
    expect(new Set(used).size).toBe(20_000);
  });

  test('are hosts of the subnet and never its gateway', () => {
    for (const ip of used) expect(ip).toMatch(/^10\.88\.\d+\.\d+$/);
    expect(used).not.toContain('10.88.0.0');
    expect(used).not.toContain('10.88.0.1');
    expect(used).not.toContain('10.88.255.255');
  });

  test('are spread over the whole subnet', () => {
    expect(new Set(used.map((ip) => ip.split('.')[2])).size).toBe(256);
  });
});

test('each used address is a file as host-local writes it', () => {
  const scratch = folder();
  fillAddresses(scratch, 'net', 3);
  const network = join(scratch, 'lib/cni/networks/net');
  const files = readdirSync(network);
  expect(files).toHaveLength(3);
  for (const file of files) expect(readFileSync(join(network, file), 'utf8')).toMatch(/^[0-9a-f]{64}\r\neth0$/);
});

test('the delegate of the flannel configuration and the bridge configuration are for the same subnet', () => {
  const config = JSON.parse(flannelConfig(folder(), 'net', 20));
  const path = config.subnetFile;
  const env = parseSubnetEnv(readFileSync(path, 'utf8'), path);
  const bridge = JSON.parse(bridgeConfig('net', 20));
  expect(bridge.ipam.ranges).toEqual([[{ subnet: '10.88.0.0/20' }]]);
  expect(env.subnet && formatIp(env.subnet.ip)).toBe('10.88.0.1');
  expect(env.subnet?.length).toBe(20);
  expect(bridge.mtu).toBe(env.mtu);
});
