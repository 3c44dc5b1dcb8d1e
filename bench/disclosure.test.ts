import { expect, test } from 'vitest';
import { discloseMachine, kernelParameters } from './disclosure.ts';

test('of the kernel’s parameters only those that change its speed are kept', () => {
  const line = 'console=ttyS0 quiet mitigations=auto root=/dev/vda rdinit=/sbin/x psi=1 -- --port 1';
  expect(kernelParameters(line)).toBe('mitigations=auto psi=1');
  expect(kernelParameters('ro isolcpus=1 net.ifnames=0 ip=10.0.0.1 nohz_full=1')).toBe('isolcpus=1 nohz_full=1');
  expect(kernelParameters('quiet')).toBe('');
});

test('nothing that is missing keeps a machine from being disclosed', () => {
  const { cpus, versions, kernel } = discloseMachine('/nowhere', '/nowhere');
  expect(cpus).toBeGreaterThan(0);
  expect(kernel).toMatch(/^\d+\.\d+/);
  expect(versions).toMatchObject({ Node: process.version, weft: 'unknown' });
});
