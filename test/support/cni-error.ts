// Removes the build's version from an error object of the CNI executable, which appends it to the details of every error.

const VERSION = /(?:^|; )weft \d+\.\d+\.\d+\S*$/;

/** Removes the version from `details`, and `details` itself when it contains nothing else. */
export function withoutVersion<T extends object>(object: T): T {
  const { details, ...rest } = object as T & { details?: unknown };
  if (typeof details !== 'string') return object;
  const own = details.replace(VERSION, '');
  return (own === '' ? rest : { ...rest, details: own }) as T;
}
