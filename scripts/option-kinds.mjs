// Kinds of options that several entries of commands.mjs and suites.mjs share, and checks of their values. A check that refuses a value
// returns what was expected instead.

import { statSync } from 'node:fs';

const VITEST =
  'Everything else is passed to vitest: words select the files whose paths contain one of them, -t PATTERN selects tests by name.';
/** Passes words and unknown options to vitest, which reports errors in them itself. */
export const vitest = { words: '[FILE…] [vitest option…]', passes: 'vitest', note: VITEST };
export const LAB = 'a lab makes network namespaces: run it as root';

export function whole(least, most = Number.MAX_SAFE_INTEGER) {
  const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
  return (text) => {
    const isRight = /^\d{1,16}$/.test(text) && Number(text) >= least && Number(text) <= most;
    return isRight ? undefined : `a whole number ${range}`;
  };
}

export function positive(text) {
  return Number(text) > 0 && Number(text) < Number.POSITIVE_INFINITY ? undefined : 'a number above 0';
}

export function labName(text) {
  return /^[a-z0-9][a-z0-9-]{0,40}$/.test(text) ? undefined : 'small letters, digits and dashes';
}

export function oneOf(...names) {
  return (text) => (names.includes(text) ? undefined : names.join(' or '));
}

export function folder(path) {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true ? undefined : 'a folder that exists';
}

export const count = (value, says, initial) => ({ type: 'string', value, says, default: initial, check: whole(1) });
export const seed = (says, initial) => ({ type: 'string', value: 'N', says, default: initial, check: whole(0) });

export const image = {
  'no-cache': { type: 'boolean', says: 'runs every step again, also those whose result is kept from an earlier build' },
  pull: {
    type: 'boolean',
    says: "uses the Dockerfile's base images from their registry, in place of images made here",
  },
  'build-arg': {
    type: 'string',
    multiple: true,
    value: 'A=B',
    says: 'passes this build argument to the Dockerfile; implies --pull',
  },
};
