// An agent of the lab that has only some capabilities, which can be changed for its next start, and the loader of the fast path, which has
// others.

import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LabNode } from '../lab/lab-node.ts';
import { builtAgent } from '../lab/programs.ts';

/** This file of the node has the capabilities for the next start of the agent, as `net_admin,bpf`. */
const RIGHTS = '/run/lab/rights';
/** The capabilities that the component fast-path gives the agent, and those of the container that loads the programs. */
export const AGENT_RIGHTS = 'net_admin,bpf';
export const LOADER_RIGHTS = 'net_admin,sys_admin';

/** The form of setpriv(1) for a list of capabilities. */
const only = (capabilities: string): string => capabilities.replace(/[^,]+/g, '+$&');

/** Writes a program that starts the agent with the capabilities in the node's file, or AGENT_RIGHTS without one. Returns its path. */
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
