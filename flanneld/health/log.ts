// The agent's log: each line on stderr is a JSON object with `time`, `level`, facts and a constant `msg`. An agent with nothing to do logs
// nothing, and a failure that repeats is logged ever more rarely.

import { pino } from 'pino';
import { ConfigError, errorText, OpError } from '../../lib/errors.ts';

/** The other fields of a line: `op`, `dev`, `lease`, `peer`, `netns`, `durMs`, `cmd`, `err`, … */
export type Facts = Readonly<Record<string, unknown>>;

/** `error`: someone must act; `warn`: the agent will retry; `info`: state changed; `debug`: decisions not to act. */
export interface Logger {
  error(facts: Facts, msg: string): void;
  warn(facts: Facts, msg: string): void;
  info(facts: Facts, msg: string): void;
  debug(facts: Facts, msg: string): void;
  /** Whether lines of this level are written; ask before making thousands of them. All are written when this is absent. */
  isLevelEnabled?(level: 'debug'): boolean;
}

/** Takes complete lines, each with its line end. */
export interface LogSink {
  write(line: string): void;
}

/** Names of facts and options that are never printed, at the top and one level down. */
const secretNames = ['password', 'token', 'psk', 'privateKey', 'accessKeySecret'];

/** A logger for lines of `level` and more serious ones. */
export function createLogger(level: 'error' | 'warn' | 'info' | 'debug', sink: LogSink): Logger {
  return pino(
    {
      level,
      base: null, // the supervisor adds pid and host
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
      redact: { paths: secretNames.flatMap((name) => [name, `*.${name}`]), censor: '[secret]' },
    },
    sink,
  );
}

/** The message of our own and of Node's errors says everything. Any other error is a bug, so its stack is logged. */
function describeError(thrown: unknown): string {
  const expected = thrown instanceof OpError || thrown instanceof ConfigError || !(thrown instanceof Error);
  if (expected) return errorText(thrown);
  const hasCode = 'code' in thrown && typeof thrown.code === 'string'; // Node's own: ENOENT, ECONNREFUSED, …
  return hasCode ? thrown.message : (thrown.stack ?? thrown.message);
}

/** For failures that may repeat for days: logs only the 1st, 10th, 100th … failure with the same text under the same key. */
export interface FailureLog {
  /** Logs as a warning with `count`, or not at all. */
  failed(key: string, error: unknown, facts: Facts, msg: string): void;
  /** Forgets the key; if there were failures, logs `msg` and how many. */
  recovered(key: string, facts: Facts, msg: string): void;
}

/** How many different texts are counted for a key. An error whose text changes every time must not fill the memory. */
const TEXTS_PER_KEY = 8;

export function createFailureLog(logger: Logger): FailureLog {
  const counts = new Map<string, Map<string, number>>();
  return {
    failed(key, error, facts, msg) {
      const texts = counts.get(key) ?? new Map<string, number>();
      counts.set(key, texts);
      const text = errorText(error);
      const count = (texts.get(text) ?? 0) + 1;
      if (count === 1 && texts.size === TEXTS_PER_KEY) texts.delete(texts.keys().next().value ?? '');
      texts.set(text, count);
      if (Number.isInteger(Math.log10(count))) logger.warn({ ...facts, err: error, count }, msg);
    },
    recovered(key, facts, msg) {
      const texts = counts.get(key);
      if (texts === undefined) return;
      counts.delete(key);
      let failures = 0;
      for (const count of texts.values()) failures += count;
      logger.info({ ...facts, failures }, msg);
    },
  };
}
