// `npm run suite -- monitoring`: a real Prometheus, on a lab node, that scrapes the agents and has the alerts as shipped.
import { testSuite } from '../vitest-suite.mjs';

export function main(_values, args) {
  return testSuite({
    args,
    command: 'npm run suite -- monitoring',
    programs: ['flanneld', 'cni'],
    packages: { prometheus: 'prometheus' },
    files: ['test/cluster/monitoring'],
  });
}
