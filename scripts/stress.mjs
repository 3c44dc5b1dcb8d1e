// `npm run test:stress`: set-up, build, then the stress of the CNI executable (test/stress).
import { runOnExecutable } from './test-bundle.mjs';

process.exitCode = await runOnExecutable('stress', process.argv.slice(2));
