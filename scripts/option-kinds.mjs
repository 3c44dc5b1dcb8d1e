// Kinds of options that several entries of commands.mjs and suites.mjs share, and checks of their values. A check that refuses a value
// returns what was expected instead.

import { statSync } from 'node:fs';

const VITEST =
  'Everything else goes to vitest: words select the files whose path contains one of them, -t PATTERN the tests by name.';
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
  pull: {
    type: 'boolean',
    says: "takes the Dockerfile's own base images from their registry, instead of ones made here",
  },
  'build-arg': {
    type: 'string',
    multiple: true,
    value: 'A=B',
    says: 'the same, with this argument for the Dockerfile',
  },
  platform: { type: 'string', value: 'P', says: 'linux/arm64 and the like, under emulation; with --pull' },
};
