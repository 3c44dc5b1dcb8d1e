// Runs an agent whose command line belongs to one node and may change from one start to the next.

import { chmodSync } from 'node:fs';
import type { LabNode } from '../lab-node.ts';

/** The path in the node that such a lab uses as `agent.file`. The lab's own flags are not passed to the agent. */
export const LAUNCHER = '/run/lab/agent';
/** The flags that make the agent answer where the lab asks whether it is ready. */
export const HEALTH_FLAGS = ['--healthz-ip=127.0.0.1', '--healthz-port=10256'];

/** Sets the command line of the next start. */
export function writeLauncher(node: LabNode, argv: readonly string[]): void {
  node.writeFile(LAUNCHER, `#!/bin/sh\nexec ${argv.join(' ')}\n`);
  chmodSync(node.pathFromOutside(LAUNCHER), 0o755);
}
