// An agent of the lab with some capabilities only, which may be others at its next start, and the loader of the fast path with others.

import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LabNode } from '../lab/lab-node.ts';
import { builtAgent } from '../lab/programs.ts';

/** The capabilities of the next start of the agent are in this file of the node, as `net_admin,bpf`. */
const RIGHTS = '/run/lab/rights';
/** What the component fast-path gives the agent, and the container that loads the programs. */
export const AGENT_RIGHTS = 'net_admin,bpf';
export const LOADER_RIGHTS = 'net_admin,sys_admin';

/** As setpriv(1) takes a list of capabilities. */
const only = (capabilities: string): string => capabilities.replace(/[^,]+/g, '+$&');

/** Writes a program that starts the agent with the capabilities of the node's file, AGENT_RIGHTS without one. Returns its path. */
export function limitedAgent(folder: string): string {
  const file = join(folder, 'flanneld');
  const rights = `$(sed 's/[^,]*/+&/g' ${RIGHTS} 2>/dev/null || echo ${only(AGENT_RIGHTS)})`;
  writeFileSync(file, `#!/bin/sh\nexec setpriv --bounding-set=-all,${rights} --inh-caps=-all -- ${builtAgent} "$@"\n`);
  chmodSync(file, 0o755);
  return file;
}

export function setRights(node: LabNode, capabilities: string): void {
  node.writeFile(RIGHTS, capabilities);
}

/** Runs `flanneld load-fast-path` with these capabilities and returns its line. */
export async function loadFastPath(node: LabNode, capabilities: string): Promise<string> {
  const rights = [`--bounding-set=-all,${only(capabilities)}`, '--inh-caps=-all', '--'];
  return (await node.run(['setpriv', ...rights, builtAgent, 'load-fast-path'])).trim();
}
