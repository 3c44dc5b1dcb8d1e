// `npm run suite -- doctor`: every problem the doctor names, made in a lab, named, and ended by the fix it prints.
import { testWithServers } from '../published.mjs';

export function main(_values, args) {
  return testWithServers({
    args,
    command: 'npm run suite -- doctor',
    programs: ['flanneld', 'cni'],
    servers: [],
    suites: ['test/doctor'],
  });
}
