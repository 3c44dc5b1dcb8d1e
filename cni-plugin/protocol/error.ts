// CNI errors: the object that a failed operation prints, its codes (SPEC.md 1.1.0 "Error"), and the texts of Go's os package for an errno,
// because users and log scrapers search for those.

import { errorText, OpError } from '../../lib/errors.ts';
import { version } from '../../lib/version.ts';
import { escapeForGo } from './go-json.ts';

/** SPEC.md 1.1.0 "Error": 1 to 99 are the specification's, 100 and above the plugin's own. */
export const INCOMPATIBLE_VERSION = 1;
export const INVALID_ENVIRONMENT = 4;
export const IO_FAILURE = 5;
export const DECODING_FAILURE = 6;
export const INVALID_NETWORK_CONFIG = 7;
/** Not in the specification; the Go skeleton answers this when the netns is the plugin's own. */
export const INVALID_NETNS = 8;
/** What is missing will come by itself, so the runtime tries again. */
export const TRY_AGAIN_LATER = 11;
/** STATUS: an ADD cannot be served now. */
export const NOT_AVAILABLE = 50;
/** What Go plugins print for every error without a code. */
export const UNTYPED = 999;

/** A failure with its CNI code; `message` and `details` are what the runtime shows. */
export class CniError extends Error {
  readonly code: number;
  readonly details: string;

  constructor(code: number, message: string, details = '') {
    super(message);
    this.name = 'CniError';
    this.code = code;
    this.details = details;
  }
}

/** An error like those of Go's fmt.Errorf: code 999. */
export function failure(message: string): CniError {
  return new CniError(UNTYPED, message);
}

/** The same failure with text in front; its code and details stay. */
export function prefixed(prefix: string, thrown: unknown): CniError {
  if (thrown instanceof CniError) return new CniError(thrown.code, prefix + thrown.message, thrown.details);
  return failure(prefix + errorText(thrown));
}

/** Runs `body` and puts `prefix` in front of any error. */
export function withPrefix<T>(prefix: string, body: () => T): T {
  try {
    return body();
  } catch (thrown) {
    throw prefixed(prefix, thrown);
  }
}

/** Another plugin's error, which is passed on unchanged. */
export class DelegateError extends CniError {}

/**
 * The error object as the Go skeleton prints it, with 4 spaces. The details end with our version, so that an Event shows which build
 * failed.
 */
export function renderError(thrown: unknown): string {
  const error = thrown instanceof CniError ? thrown : failure(errorText(thrown));
  const object: { code: number; msg: string; details?: string } = { code: error.code, msg: error.message };
  const details = error instanceof DelegateError ? error.details : withVersion(error.details);
  if (details !== '') object.details = details;
  return `${escapeForGo(JSON.stringify(object, null, 4))}\n`;
}

function withVersion(details: string): string {
  return `${details === '' ? '' : `${details}; `}weft ${version}`;
}

/** The text of strerror(3) in the form of Go's syscall.Errno.Error(); the code itself for a rare one. */
function systemText(code: string): string {
  switch (code) {
    case 'ENOENT':
      return 'no such file or directory';
    case 'EEXIST':
      return 'file exists';
    case 'EACCES':
      return 'permission denied';
    case 'EPERM':
      return 'operation not permitted';
    case 'ENOTDIR':
      return 'not a directory';
    case 'EISDIR':
      return 'is a directory';
    case 'EINVAL':
      return 'invalid argument';
    case 'ENOSPC':
      return 'no space left on device';
    case 'EROFS':
      return 'read-only file system';
    case 'ENODEV':
      return 'no such device';
    case 'EBUSY':
      return 'device or resource busy';
    case 'ENETUNREACH':
      return 'network is unreachable';
    case 'EOPNOTSUPP':
      return 'operation not supported';
    default:
      return code;
  }
}

/** A failed system call in Go's words, `no such file or directory`; any other error's own text. */
export function goText(thrown: unknown): string {
  return thrown instanceof OpError ? systemText(thrown.code) : errorText(thrown);
}

/** `<what>: <Go's words>`, code 999; other text of the kernel becomes the details. */
export function because(what: string, thrown: unknown): CniError {
  const details = thrown instanceof OpError ? (thrown.detail ?? '') : '';
  return new CniError(UNTYPED, `${what}: ${goText(thrown)}`, details);
}
