// `npm run test:kill`: set-up, build, then the CNI executable killed at every system call it makes (test/kill).
import { runOnExecutable } from './test-bundle.mjs';

process.exitCode = await runOnExecutable('kill', process.argv.slice(2));
