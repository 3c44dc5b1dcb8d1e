// CNI versions: the supported list, comparison, and the version that each command needs (SPEC.md 1.1.0).

import { CniError, DECODING_FAILURE, failure, INCOMPATIBLE_VERSION } from './error.ts';

/** Every version that this executable supports, oldest first. */
export const ALL_VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

/** The result types: one for each family of compatible versions. */
export type ResultFamily = '0.2' | '0.4' | '1.0';

function part(text: string, whole: string): number {
  if (text === '') throw noVersion(whole);
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 48 || code > 57) throw noVersion(whole);
  }
  return Number(text);
}

function noVersion(text: string): Error {
  return failure(`expected a version such as 1.0.0, got ${JSON.stringify(text.slice(0, 64))}`);
}

/** `major.minor.patch` as one number for comparison; throws on anything else. Each part below 1000. */
function versionNumber(version: string): number {
  const parts = version.split('.');
  if (parts.length > 3) throw noVersion(version);
  let value = 0;
  for (let at = 0; at < 3; at++) value = value * 1000 + (at < parts.length ? part(parts[at] ?? '', version) : 0);
  return value;
}

/** Whether `version` is `minimum` or later; throws CniError 999 when it cannot be read as a version. */
export function atLeast(version: string, minimum: string): boolean {
  return versionNumber(version) >= versionNumber(minimum);
}

/** Throws code 1 unless `version` is literally in the supported list. */
export function checkSupported(version: string, supported: readonly string[]): void {
  if (supported.includes(version)) return;
  const list = supported.map((known) => JSON.stringify(known)).join(' ');
  throw new CniError(
    INCOMPATIBLE_VERSION,
    'incompatible CNI versions',
    `config is ${JSON.stringify(version)}, plugin supports [${list}]`,
  );
}

/** Throws code 1 unless both the configuration and the plugin are new enough for `command`. */
export function checkCommandVersion(
  command: string,
  version: string,
  minimum: string,
  supported: readonly string[],
): void {
  let allowed: boolean;
  try {
    allowed = atLeast(version, minimum);
  } catch (thrown) {
    throw new CniError(DECODING_FAILURE, (thrown as Error).message);
  }
  if (!allowed) throw new CniError(INCOMPATIBLE_VERSION, `config version does not allow ${command}`);
  if (!supported.some((known) => atLeast(known, minimum))) {
    throw new CniError(INCOMPATIBLE_VERSION, `plugin version does not allow ${command}`);
  }
}

/** The result type of a supported version; undefined for any other text. */
export function resultFamily(version: string): ResultFamily | undefined {
  switch (version) {
    case '':
    case '0.1.0':
    case '0.2.0':
      return '0.2';
    case '0.3.0':
    case '0.3.1':
    case '0.4.0':
      return '0.4';
    case '1.0.0':
    case '1.1.0':
      return '1.0';
    default:
      return undefined;
  }
}

/** The versions of one family, in the form of Go's list in an error. */
export function familyVersions(family: ResultFamily): string {
  switch (family) {
    case '0.2':
      return '[ 0.1.0 0.2.0]';
    case '0.4':
      return '[0.3.0 0.3.1 0.4.0]';
    case '1.0':
      return '[1.0.0 1.1.0]';
  }
}
