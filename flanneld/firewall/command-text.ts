// Limits the length of commands in the log and the ledger, which show how to do by hand what the agent has done.

/** A longer command would not fit a readable line of log. */
const LONGEST_COMMAND = 200;

/** Returns the command or, if it is long, `inShort`, which says where to see all of it. */
export function unlessLong(command: string, inShort: string): string {
  return command.length <= LONGEST_COMMAND ? command : inShort;
}
