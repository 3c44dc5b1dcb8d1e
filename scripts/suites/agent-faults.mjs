// `npm run suite -- agent-faults`: exceptions, stalls and missing resources injected into the built agent under a flow.
import { testWithServers } from '../published.mjs';

export function main(_values, args) {
  return testWithServers({
    args,
    command: 'npm run suite -- agent-faults',
    programs: ['flanneld', 'cni'],
    servers: [],
    suites: ['test/root/agent-faults.test.ts'],
  });
}
