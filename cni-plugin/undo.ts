// Undoes a failed ADD: removes everything that it made, the newest first.

import { errorText } from '../lib/errors.ts';

/** Runs `body`, which registers how to undo each thing that it makes. When it throws, all of these are undone. */
export function withUndo<T>(note: (line: string) => void, body: (onFailure: (undo: () => void) => void) => T): T {
  const undos: (() => void)[] = [];
  try {
    return body((undo) => undos.push(undo));
  } catch (thrown) {
    for (const undo of undos.reverse()) {
      try {
        undo();
      } catch (failed) {
        note(`undo: ${errorText(failed)}`);
      }
    }
    throw thrown;
  }
}
