// The environment with which a runtime calls a plugin: a table of the variables, the commands that need them, and their form (SPEC.md 1.1.0
// "Parameters", libcni pkg/skel).

import { CniError, INVALID_ENVIRONMENT } from './error.ts';

export type Command = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS' | 'VERSION';

/** The variables by their meaning; absent and empty ones are both ''. */
export interface CniEnvironment {
  readonly command: Command;
  readonly containerId: string;
  /** Path of the pod's network namespace; may be '' on DEL. */
  readonly netns: string;
  readonly ifname: string;
  /** CNI_ARGS as given: `K=V;K=V`. */
  readonly args: string;
  /** CNI_PATH as given: folders between colons. */
  readonly path: string;
  /** CNI_NETNS_OVERRIDE: the netns may be the plugin's own. */
  readonly netnsOverride: boolean;
}

interface Variable {
  readonly name: string;
  /** The commands that require it, separated by blanks. */
  readonly neededBy: string;
  readonly check?: (value: string) => void;
}

const variables: readonly Variable[] = [
  { name: 'CNI_COMMAND', neededBy: 'ADD DEL CHECK GC STATUS VERSION' },
  { name: 'CNI_CONTAINERID', neededBy: 'ADD DEL CHECK', check: checkContainerId },
  { name: 'CNI_NETNS', neededBy: 'ADD CHECK' },
  { name: 'CNI_IFNAME', neededBy: 'ADD DEL CHECK', check: checkInterfaceName },
  { name: 'CNI_ARGS', neededBy: '' },
  { name: 'CNI_PATH', neededBy: 'ADD DEL CHECK GC STATUS' },
];

const ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** Whether the text may name a container or a network. */
export function isValidId(text: string): boolean {
  return ID.test(text);
}

function checkContainerId(id: string): void {
  if (!isValidId(id)) throw new CniError(INVALID_ENVIRONMENT, 'invalid characters in containerID', id);
}

/** The blanks of Go's unicode.IsSpace. */
function isSpace(code: number): boolean {
  return (
    (code >= 9 && code <= 13) ||
    code === 32 ||
    code === 0x85 ||
    code === 0xa0 ||
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x200a) ||
    code === 0x2028 ||
    code === 0x2029 ||
    code === 0x202f ||
    code === 0x205f ||
    code === 0x3000
  );
}

function utf8Length(text: string): number {
  let length = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return length;
}

/** Throws code 4 for a name that the kernel would refuse for an interface: more than 15 bytes, `/`, `:`, blanks, `.` or `..`. */
function checkInterfaceName(name: string): void {
  if (name === '') throw new CniError(INVALID_ENVIRONMENT, 'CNI_IFNAME is empty');
  if (utf8Length(name) > 15) {
    throw new CniError(
      INVALID_ENVIRONMENT,
      'interface name is too long',
      'interface name should be less than 16 characters',
    );
  }
  if (name === '.' || name === '..') throw new CniError(INVALID_ENVIRONMENT, 'interface name is . or ..');
  for (let at = 0; at < name.length; at++) {
    const code = name.charCodeAt(at);
    if (code === 47 || code === 58 || isSpace(code)) {
      throw new CniError(INVALID_ENVIRONMENT, 'interface name contains / or : or whitespace characters');
    }
  }
}

function isCommand(text: string): text is Command {
  return (
    text === 'ADD' || text === 'DEL' || text === 'CHECK' || text === 'GC' || text === 'STATUS' || text === 'VERSION'
  );
}

function isTrue(text: string): boolean {
  return text === '1' || text.toLowerCase() === 'true';
}

/** Reads and checks the variables, in the table's order. Throws code 4. A wrong value is reported before missing variables. */
export function readEnvironment(env: (name: string) => string | undefined): CniEnvironment {
  const values = variables.map((variable) => checkedValue(variable, env(variable.name)));
  const [command = '', containerId = '', netns = '', ifname = '', args = '', path = ''] = values;
  const missing = variables.filter(
    (variable, at) => values[at] === '' && variable.neededBy.split(' ').includes(command),
  );
  if (missing.length > 0) {
    const names = missing.map((variable) => variable.name).join(',');
    throw new CniError(INVALID_ENVIRONMENT, `required env variables [${names}] missing`);
  }
  if (!isCommand(command)) throw new CniError(INVALID_ENVIRONMENT, `unknown CNI_COMMAND: ${command}`);
  const netnsOverride = isTrue(env('CNI_NETNS_OVERRIDE') ?? '');
  return { command, containerId, netns, ifname, args, path, netnsOverride };
}

function checkedValue(variable: Variable, value: string | undefined): string {
  if (value === undefined || value === '') return '';
  variable.check?.(value);
  return value;
}
