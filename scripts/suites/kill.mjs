// `npm run suite -- kill`: build, then the CNI executable killed at every system call it makes (test/cni/kill).
import { runOnExecutable } from '../test-bundle.mjs';

export function main(values) {
  return runOnExecutable('kill', values);
}
