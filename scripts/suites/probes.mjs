// `npm run suite -- probes`: every fault between nodes, made in a lab and named by the agents' probes.
import { testSuite } from '../vitest-suite.mjs';

export function main(_values, args) {
  return testSuite({
    args,
    command: 'npm run suite -- probes',
    programs: ['flanneld', 'cni'],
    files: ['test/probes'],
  });
}
