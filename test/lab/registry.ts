// Finds labs: kept ones are recorded in /run/weft-lab, and all can be seen in the process list. Before a lab starts, labs whose owner
// is gone are ended.

import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OpError } from '../../lib/errors.ts';
import { endNamespaces } from './namespace-process.ts';
import { commandLine, isAlive, listPids, type ProcessId, processId } from './processes.ts';

/** A lab that was started with `keep`. */
export interface LabRecord {
  readonly name: string;
  /** The first process of the lab; with its start time it names the lab and no later process. */
  readonly init: ProcessId;
  /** ISO 8601. */
  readonly created: string;
}

const FOLDER = '/run/weft-lab';
const TITLE = 'weft-lab';

export function recordLab(record: LabRecord): void {
  mkdirSync(FOLDER, { recursive: true });
  const temporary = join(FOLDER, `.${record.name}.${process.pid}`);
  writeFileSync(temporary, `${JSON.stringify(record)}\n`);
  renameSync(temporary, recordPath(record.name));
}

export function forgetLab(name: string): void {
  rmSync(recordPath(name), { force: true });
  try {
    rmdirSync(FOLDER);
  } catch (error) {
    // Others are recorded, or nothing ever was.
    if (!['ENOTEMPTY', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

/** The kept labs that live, by name. */
export function keptLabs(): LabRecord[] {
  return recordNames()
    .map(readRecord)
    .filter((record) => isAlive(record.init));
}

/** The kept lab of that name; OpError (ENOENT) when there is none. */
export function keptLab(name: string): LabRecord {
  const record = keptLabs().find((kept) => kept.name === name);
  if (record !== undefined) return record;
  const detail = 'npm start -- --keep makes one';
  throw new OpError({ subsystem: 'lab', op: 'find', object: `lab ${name}`, code: 'ENOENT', detail });
}

/** How the first process of a lab shows itself: with its name and its owner. */
export function labTitle(name: string, owner: ProcessId): string {
  return [TITLE, name, owner.pid, owner.startTime].join(':');
}

/** Ends every lab whose owner is gone and that nobody keeps; forgets records of labs that are gone. Returns names. */
export async function reapLabs(): Promise<string[]> {
  const dead = recordNames().filter((name) => !isAlive(readRecord(name).init));
  for (const name of dead) forgetLab(name);
  const kept = new Set(keptLabs().map(({ init }) => init.pid));
  const orphans = runningLabs().filter(({ init, owner }) => !isAlive(owner) && !kept.has(init.pid));
  for (const { init } of orphans) await endNamespaces(init);
  return [...dead, ...orphans.map(({ name }) => name)];
}

interface RunningLab {
  readonly name: string;
  readonly init: ProcessId;
  readonly owner: ProcessId;
}

function runningLabs(): RunningLab[] {
  return listPids().flatMap((pid) => {
    // sh -c SCRIPT TITLE …, see namespace-process.ts
    const [shell, , , title = ''] = commandLine(pid) ?? [];
    const [mark, name, ownerPid, ownerStart] = title.split(':');
    const init = processId(pid);
    if (shell !== 'sh' || mark !== TITLE || name === undefined || init === undefined) return [];
    return [{ name, init, owner: { pid: Number(ownerPid), startTime: Number(ownerStart) } }];
  });
}

function recordNames(): string[] {
  try {
    return readdirSync(FOLDER)
      .filter((file) => file.endsWith('.json'))
      .map((file) => file.slice(0, -'.json'.length));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function readRecord(name: string): LabRecord {
  return JSON.parse(readFileSync(recordPath(name), 'utf8')) as LabRecord;
}

function recordPath(name: string): string {
  return join(FOLDER, `${name}.json`);
}
