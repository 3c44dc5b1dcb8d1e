// Judges an answer of the executable, whatever the call was (SPEC.md 1.1.0, "Error" and "Return codes").

import type { HostileCall } from './documents.ts';

export interface Answer {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Why the answer is wrong; undefined when it is right. */
export function judgeAnswer(call: HostileCall, answer: Answer): string | undefined {
  if (answer.exitCode === 0) return judgeSuccess(call, answer.stdout);
  if (answer.exitCode !== 1) return `ended with ${answer.signal ?? answer.exitCode}: ${answer.stderr.slice(0, 300)}`;
  const error = parseObject(answer.stdout);
  if (error === undefined) return `stdout is not one JSON object: ${answer.stdout.slice(0, 300)}`;
  const { code, msg } = error;
  if (typeof code !== 'number' || !Number.isInteger(code) || code < 1) return `code is ${JSON.stringify(code)}`;
  if (typeof msg !== 'string' || msg === '') return `msg is ${JSON.stringify(msg)}`;
  if (/internal error|is not a function|of undefined|of null|out of memory/i.test(msg)) return `msg is "${msg}"`;
  const wanted = expectedCode(call);
  return wanted === undefined || wanted === code ? undefined : `code ${code} (${msg}), expected ${wanted}`;
}

function judgeSuccess({ env }: HostileCall, stdout: string): string | undefined {
  switch (env['CNI_COMMAND'] ?? '') {
    case 'ADD':
      return parseObject(stdout)?.['cniVersion'] === undefined
        ? `ADD succeeded with "${stdout.slice(0, 100)}"`
        : undefined;
    case 'VERSION':
      return parseObject(stdout)?.['supportedVersions'] === undefined ? `VERSION said "${stdout}"` : undefined;
    case 'DEL':
    case 'CHECK':
    case 'GC':
    case 'STATUS':
    case '':
      return stdout === '' ? undefined : `a success says "${stdout.slice(0, 100)}"`;
    default:
      return `the command "${env['CNI_COMMAND']}" succeeded`;
  }
}

/** The error code that the protocol itself requires; undefined when the plugin decides. */
function expectedCode({ env, stdin, encoding }: HostileCall): number | undefined {
  if (!isEnvironmentRight(env)) return 4;
  if (encoding === 'latin1') return 6;
  const document = parseObject(stdin);
  // JSON with numbers beyond 2^53 or with many levels is also refused as undecodable; this table does not cover that.
  if (document === undefined) return 6;
  if (!('name' in document) && Object.keys(document).every((key) => key.toLowerCase() !== 'name')) {
    return hasHugeParts(stdin) || typeof (document['cniVersion'] ?? '') !== 'string' ? undefined : 7;
  }
  return undefined;
}

function isEnvironmentRight(env: Readonly<Record<string, string>>): boolean {
  const { CNI_COMMAND: command = '', CNI_CONTAINERID: id = '', CNI_IFNAME: ifname = '' } = env;
  if (!['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'].includes(command)) return false;
  // Checked for every command.
  if (id !== '' && !/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(id)) return false;
  if (ifname !== '' && !isInterfaceName(ifname)) return false;
  const needsAll = ['ADD', 'DEL', 'CHECK'].includes(command);
  if (needsAll && (id === '' || ifname === '')) return false;
  if (['ADD', 'CHECK'].includes(command) && (env['CNI_NETNS'] ?? '') === '') return false;
  return command === 'VERSION' || (env['CNI_PATH'] ?? '') !== '';
}

function isInterfaceName(name: string): boolean {
  return Buffer.byteLength(name) <= 15 && name !== '.' && name !== '..' && !/[/:\s]/.test(name);
}

function hasHugeParts(text: string): boolean {
  return /\d{16}|e[+\d]|[[{]{60}|(\{"a":){60}/i.test(text);
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
