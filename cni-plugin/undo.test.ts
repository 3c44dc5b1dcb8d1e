import { describe, expect, test } from 'vitest';
import { withUndo } from './undo.ts';

describe('withUndo', () => {
  test('undoes nothing of what succeeded', () => {
    const done: string[] = [];
    const result = withUndo(
      () => undefined,
      (onFailure) => {
        onFailure(() => done.push('a'));
        return 5;
      },
    );
    expect(result).toBe(5);
    expect(done).toEqual([]);
  });

  test('undoes newest first, goes on over an undo that fails, and throws what was thrown', () => {
    const done: string[] = [];
    const notes: string[] = [];
    const body = () =>
      withUndo(
        (line) => notes.push(line),
        (onFailure) => {
          onFailure(() => done.push('first'));
          onFailure(() => {
            throw new Error('cannot');
          });
          onFailure(() => done.push('last'));
          throw new Error('reason');
        },
      );
    expect(body).toThrow('reason');
    expect(done).toEqual(['last', 'first']);
    expect(notes).toEqual(['undo: cannot']);
  });
});
