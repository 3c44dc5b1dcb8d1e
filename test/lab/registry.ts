// Finds labs. Kept labs are recorded in /run/weft-lab, and all labs can be found in the list of processes. Before a lab starts, the
// labs whose owners are gone are ended.

import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OpError } from '../../lib/errors.ts';
import { endNamespaces } from './namespace-process.ts';
import { commandLine, isAlive, listPids, type ProcessId, processId } from './processes.ts';

/** A lab that was started with `keep`. */
export interface LabRecord {
  readonly name: string;
  /** The first process of the lab. Together with its start time, its pid cannot mean a later process. */
  readonly init: ProcessId;
  /** In ISO 8601. */
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
    // Only other labs are recorded, or none was ever recorded.
    if (!['ENOTEMPTY', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

/** Returns the kept labs that still run, by name. */
export function keptLabs(): LabRecord[] {
  return recordNames()
    .map(readRecord)
    .filter((record) => isAlive(record.init));
}

/** Returns the kept lab of that name. Throws an OpError (ENOENT) when there is none. */
export function keptLab(name: string): LabRecord {
  const record = keptLabs().find((kept) => kept.name === name);
  if (record !== undefined) return record;
  const detail = 'npm start -- --keep makes one';
  throw new OpError({ subsystem: 'lab', op: 'find', object: `lab ${name}`, code: 'ENOENT', detail });
}

/** The title of a lab's first process, with the lab's name and its owner. */
export function labTitle(name: string, owner: ProcessId): string {
  return [TITLE, name, owner.pid, owner.startTime].join(':');
}

/** Ends every lab whose owner is gone and that nobody keeps, and removes the records of labs that are gone. Returns the names. */
export async function reapLabs(): Promise<string[]> {
  const dead = forgetDeadLabs();
  const kept = new Set(keptLabs().map(({ init }) => init.pid));
  const orphans = runningLabs().filter(({ init, owner }) => !isAlive(owner) && !kept.has(init.pid));
  for (const { init } of orphans) await endNamespaces(init);
  return [...dead, ...orphans.map(({ name }) => name)];
}

/** Removes the records of labs that are gone. Returns the names. */
export function forgetDeadLabs(): string[] {
  const dead = recordNames().filter((name) => !isAlive(readRecord(name).init));
  for (const name of dead) forgetLab(name);
  return dead;
}

interface RunningLab {
  readonly name: string;
  readonly init: ProcessId;
  readonly owner: ProcessId;
}

function runningLabs(): RunningLab[] {
  return listPids().flatMap((pid) => {
    // The command line is sh -c SCRIPT TITLE …, as made by namespace-process.ts.
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
