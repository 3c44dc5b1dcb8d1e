// `npm run suite -- fuzz`: spoiled inputs for the CNI executable's parsers (test/cni/hostile/fuzz) in the sanitizer build.
import { testSuite } from '../vitest-suite.mjs';

export function main(values) {
  return testSuite({
    values,
    command: 'npm run suite -- fuzz',
    programs: ['cni'],
    files: ['test/cni/hostile/fuzz.test.ts'],
  });
}
