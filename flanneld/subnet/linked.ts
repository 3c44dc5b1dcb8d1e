// An end that comes with another's, or before it.

/** Aborts with the signal it is linked to, or before. */
export interface Linked {
  readonly signal: AbortSignal;
  abort(): void;
  /** Lets go of the signal it is linked to, which may live far longer. */
  unlink(): void;
}

export function linkedTo(signal: AbortSignal): Linked {
  const ending = new AbortController();
  const abort = (): void => ending.abort();
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  return { signal: ending.signal, abort, unlink: () => signal.removeEventListener('abort', abort) };
}
