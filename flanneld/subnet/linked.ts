// A signal that aborts together with another one, or earlier by itself.

/** `signal` aborts when the signal it is linked to does, or earlier by `abort`. */
export interface Linked {
  readonly signal: AbortSignal;
  abort(): void;
  /** Removes the listener from the other signal, which may live far longer and would keep it in memory. */
  unlink(): void;
}

export function linkedTo(signal: AbortSignal): Linked {
  const ending = new AbortController();
  const abort = (): void => ending.abort();
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  return { signal: ending.signal, abort, unlink: () => signal.removeEventListener('abort', abort) };
}
