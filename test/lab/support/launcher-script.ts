// An agent whose command line is a node's own, and may change from one start to the next.

import { chmodSync } from 'node:fs';
import type { LabNode } from '../lab-node.ts';

/** In the node: `agent.file` of such a lab. The lab's own flags are not passed on. */
export const LAUNCHER = '/run/lab/agent';
/** Where the lab asks the agent whether it is ready. */
export const HEALTH_FLAGS = ['--healthz-ip=127.0.0.1', '--healthz-port=10256'];

/** What the next start runs. */
export function writeLauncher(node: LabNode, argv: readonly string[]): void {
  node.writeFile(LAUNCHER, `#!/bin/sh\nexec ${argv.join(' ')}\n`);
  chmodSync(node.pathFromOutside(LAUNCHER), 0o755);
}
