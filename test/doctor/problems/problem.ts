// A row of the tables of problems: one way in which a finding comes about on node-1 of a lab.

import type { FindingId } from '../../../flanneld/doctor/catalog.ts';

export interface Problem {
  readonly id: FindingId;
  /** How it comes about, where an id has several rows. */
  readonly how: string;
  /** What the agent does meanwhile: a running one would put right at once what some rows break. */
  readonly agent: 'runs' | 'is killed' | 'is stopped';
  /** A command that fails where the machine has not what the row needs. */
  readonly needs?: string;
  /** What the doctor finds in its environment while the problem is there. */
  readonly env?: Readonly<Record<string, string>>;
  /** Shell commands on the node. */
  readonly make?: string;
  /** What ends it: `fix` runs the command that the finding prints, `restart` starts the agent anew, else shell commands. */
  readonly end: string;
  /** Run at the end, whatever happened. */
  readonly after?: string;
  /** Words that the finding must have. */
  readonly says: readonly string[];
}
