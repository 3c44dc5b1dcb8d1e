import { expect, test } from 'vitest';
import { discloseMachine, kernelParameters } from './disclosure.ts';

test('only those parameters of the kernel are kept that change its speed', () => {
  const line = 'console=ttyS0 quiet mitigations=auto root=/dev/vda rdinit=/sbin/x psi=1 -- --port 1';
  expect(kernelParameters(line)).toBe('mitigations=auto psi=1');
  expect(kernelParameters('ro isolcpus=1 net.ifnames=0 ip=10.0.0.1 nohz_full=1')).toBe('isolcpus=1 nohz_full=1');
  expect(kernelParameters('quiet')).toBe('');
});

test('a machine is described whatever file is missing', () => {
  const { cpus, versions, kernel } = discloseMachine('/nowhere', '/nowhere');
  expect(cpus).toBeGreaterThan(0);
  expect(kernel).toMatch(/^\d+\.\d+/);
  expect(versions).toMatchObject({ Node: process.version, weft: 'unknown' });
});
