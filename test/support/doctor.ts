// Runs `flanneld doctor` on a node of a lab and reads its findings.

import { expect } from 'vitest';
import type { Finding } from '../../flanneld/health/finding.ts';
import { LEASE_FOLDER } from '../lab/contract.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';

const LOOK_MS = 30_000;
/** The pause between two tries: a kernel sends only a few refusals a second, and one that sends none looks silent. */
const PAUSE_MS = 2000;

/** The flags that the doctor needs on a node without a running agent, from which it could take them. */
export const FLAGS_OF_LAB: readonly string[] = [`--subnet-dir=${LEASE_FOLDER}`, '--iface=eth0'];

export interface Diagnosis {
  readonly exitCode: number | null;
  readonly findings: readonly Finding[];
}

/** Runs `flanneld doctor --json` on the node; `env` is added to the usual environment of a container. */
export async function doctor(
  node: LabNode,
  flags: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Diagnosis> {
  const { exitCode, stdout, stderr } = await node.exec([builtAgent, 'doctor', '--json', ...flags], {
    env: { NODE_NAME: node.name, PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...env },
  });
  if (!stdout.startsWith('{')) throw new Error(`doctor on ${node.name}: exit ${exitCode}: ${stderr}`);
  return { exitCode, ...(JSON.parse(stdout) as { findings: Finding[] }) };
}

async function pause(): Promise<false> {
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  return false;
}

/** Expects that the doctor finds no error on the node. A busy machine may be slow, so it asks again until the time is over. */
export async function expectHealthy(node: LabNode, flags: readonly string[] = []): Promise<void> {
  let errors: readonly Finding[] = [];
  const isHealthy = async (): Promise<boolean> => {
    const { findings } = await doctor(node, flags);
    errors = findings.filter(({ severity }) => severity === 'error');
    return errors.length === 0 || (await pause());
  };
  await waitUntil(isHealthy, LOOK_MS, `a healthy ${node.name}`).catch(() => undefined);
  expect(errors, node.name).toEqual([]);
}

/** The first finding with that id; fails when there is none after some time. */
export async function findingOf(
  node: LabNode,
  id: string,
  flags: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Finding> {
  let last: readonly Finding[] = [];
  const isThere = async (): Promise<boolean> => {
    last = (await doctor(node, flags, env)).findings;
    return last.some((finding) => finding.id === id) || (await pause());
  };
  await waitUntil(isThere, LOOK_MS, id).catch(() => undefined);
  const found = last.find((finding) => finding.id === id);
  expect(found, `${id} among ${JSON.stringify(last)}`).toBeDefined();
  return found as Finding;
}

/** The command at the beginning of a fix; undefined if the fix is not a command. */
export function commandOf({ fix, node }: Finding): string | undefined {
  const [, where, command] = /^on (\S+): `([^`]+)`/.exec(fix) ?? [];
  return where === node ? command : undefined;
}
