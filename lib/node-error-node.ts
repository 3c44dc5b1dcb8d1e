// Errors of Node's own modules.

/** `ENOENT`, `ECONNREFUSED`, …; undefined for an error that carries no code. */
export function nodeErrorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
