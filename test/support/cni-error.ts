// The error object of the CNI executable, without which build said it: that is behind every error's details.

const VERSION = /(?:^|; )weft \d+\.\d+\.\d+\S*$/;

/** Takes the version from `details`, and `details` when nothing else is in it. */
export function withoutVersion<T extends object>(object: T): T {
  const { details, ...rest } = object as T & { details?: unknown };
  if (typeof details !== 'string') return object;
  const own = details.replace(VERSION, '');
  return (own === '' ? rest : { ...rest, details: own }) as T;
}
