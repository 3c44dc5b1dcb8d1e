import { expect, test } from 'vitest';
import { discloseMachine, kernelParameters } from './disclosure.ts';

test('kernel parameters are without the first process and what it is told', () => {
  const line = 'console=ttyS0 quiet mitigations=auto root=/dev/vda rdinit=/sbin/x psi=1 -- --port 1';
  expect(kernelParameters(line)).toBe('quiet mitigations=auto psi=1');
  expect(kernelParameters('quiet')).toBe('quiet');
});

test('nothing that is missing keeps a machine from being disclosed', () => {
  const { cpus, versions, kernel } = discloseMachine('/nowhere', '/nowhere');
  expect(cpus).toBeGreaterThan(0);
  expect(kernel).toMatch(/^\d+\.\d+/);
  expect(versions).toMatchObject({ Node: process.version, weft: 'unknown' });
});
