import { describe, expect, test } from 'vitest';
import { withUndo } from './undo.ts';

describe('withUndo', () => {
  test('undoes nothing after success', () => {
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

  test('undoes the newest step first, goes on when an undo fails, and throws the first error', () => {
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
