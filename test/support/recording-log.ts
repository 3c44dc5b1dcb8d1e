// A logger that keeps its lines in the form `<msg> <facts as JSON>`.

import type { Logger } from '../../flanneld/health/log.ts';
import { errorText } from '../../lib/errors.ts';

export function recordingLog(): { readonly log: Logger; readonly logged: string[] } {
  const logged: string[] = [];
  const text = (_: string, value: unknown): unknown => (value instanceof Error ? errorText(value) : value);
  const add = (facts: unknown, msg: string): void => void logged.push(`${msg} ${JSON.stringify(facts, text)}`);
  return { log: { error: add, warn: add, info: add, debug: add }, logged };
}
