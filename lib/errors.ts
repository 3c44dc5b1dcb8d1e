// The error classes of both programs. One line says what was tried, on what, and what the kernel or
// server answered, in the words of the tool an operator would use. Branch on `code`, never on text.

export interface OpErrorFields {
  /** The part of the program that reports it: `rtnetlink`, `file`, `exec`, `kube`, … */
  readonly subsystem: string;
  /** What was tried: `add`, `open`, `patch`, … */
  readonly op: string;
  /** The object of the operation, written as the matching tool prints it. */
  readonly object: string;
  /** The answer: an errno name (`EEXIST`), an HTTP status, `timeout`, … */
  readonly code: string;
  /** The words of the kernel or server, if there were any. */
  readonly detail?: string | undefined;
  readonly cause?: unknown;
}

/** A failed operation: `<subsystem>: <op> <object>: <CODE>[ (<detail>)]`. */
export class OpError extends Error {
  readonly subsystem: string;
  readonly op: string;
  readonly object: string;
  readonly code: string;
  readonly detail: string | undefined;

  constructor(fields: OpErrorFields) {
    const tail = fields.detail === undefined || fields.detail === '' ? '' : ` (${fields.detail})`;
    super(`${fields.subsystem}: ${fields.op} ${fields.object}: ${fields.code}${tail}`);
    this.name = 'OpError';
    if (fields.cause !== undefined) this.cause = fields.cause;
    this.subsystem = fields.subsystem;
    this.op = fields.op;
    this.object = fields.object;
    this.code = fields.code;
    this.detail = fields.detail;
  }
}

/**
 * A configured value is wrong: `<source>: <path>: expected <allowed>, got <value>`. `source` is the document (`net-conf`,
 * `subnet.env`, `flag`), `path` the key in it.
 */
export class ConfigError extends Error {
  readonly source: string;
  readonly path: string;

  constructor(source: string, path: string, problem: string) {
    super(path === '' ? `${source}: ${problem}` : `${source}: ${path}: ${problem}`);
    this.name = 'ConfigError';
    this.source = source;
    this.path = path;
  }
}

/** Returns the text of anything that was thrown, even if it is not an Error. */
export function errorText(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
