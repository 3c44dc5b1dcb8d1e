// A row of the tables of problems: one way to cause a finding on node-1 of a lab.

import type { FindingId } from '../../../flanneld/doctor/catalog.ts';

export interface Problem {
  readonly id: FindingId;
  /** How the problem comes about, where an id has several rows. */
  readonly how: string;
  /** The state of the agent meanwhile: a running one would at once repair what some rows break. */
  readonly agent: 'runs' | 'is killed' | 'is stopped';
  /** A command that fails where the machine lacks what the row needs. */
  readonly needs?: string;
  /** Variables in the doctor's environment while the problem exists. */
  readonly env?: Readonly<Record<string, string>>;
  /** Shell commands that cause the problem on the node. */
  readonly make?: string;
  /**
   * What ends the problem: `fix` runs the command that the finding prints, `restart` starts the agent again; anything else is shell
   * commands.
   */
  readonly end: string;
  /** Shell commands that run at the end in any case. */
  readonly after?: string;
  /** Words that the finding must contain. */
  readonly says: readonly string[];
}
