// `npm run suite -- stress`: build, then the stress of the CNI executable (test/cni/stress).
import { runOnExecutable } from '../test-bundle.mjs';

export function main(values) {
  return runOnExecutable('stress', values);
}
