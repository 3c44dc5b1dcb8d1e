// Reads the command line: flannel's Go flags, FLANNELD_* variables, and sub-commands. A pure function of argv and the
// environment; it returns what to do or throws a UsageError.

import { Command, CommanderError, Option } from 'commander';
import { closest } from '../../lib/closest.ts';
import { type FlagSpec, flagTable, ineffectiveFlags } from './flag-table.ts';
import { normalizeGoFlags, UsageError } from './go-flags.ts';
import type { FlagTexts, GivenFlags, Options } from './options.ts';
import { boolean, isStoreUnnamed, readOptions } from './options.ts';
import { type SubCommand, subCommandFlags, subCommands } from './sub-commands.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface CommandLine {
  readonly command: SubCommand;
  readonly options: Options;
  /** The words after the name of a sub-command. */
  readonly words: readonly string[];
  /** Lines for the log. */
  readonly warnings: readonly string[];
}

/** The user asked for help: print `text` on stdout and exit 0. */
export interface HelpRequest {
  readonly command: 'help';
  readonly text: string;
}

const description = `Weft's agent, of which each node runs one. Without a command it runs until SIGTERM.
Every flag may also be given as FLANNELD_<FLAG>, e.g. FLANNELD_PUBLIC_IP=10.0.0.1.
Leases are kept in Kubernetes (--kube-subnet-mgr), in a directory (--subnet-dir), or in etcd when neither flag is given.
So flannel's command line means the same cluster here. If a directory were the default instead, a missing flag would give
a cluster of one node that reports that it is ready.`;
const NO_STORE =
  'no flag names a store, so leases are kept in etcd at the default endpoints, as with flannel; use --kube-subnet-mgr for Kubernetes, ' +
  '--subnet-dir for a directory shared by the agents of one machine';
const booleanFlags = new Set(flagTable.filter((spec) => spec.value === undefined).map((spec) => spec.name));
const valueFlags = new Set(flagTable.filter((spec) => spec.value !== undefined).map((spec) => spec.name));

/**
 * Reads argv (without node and script) and the environment. Throws UsageError, which leads to exit code 2.
 * Differs from flannel (D1), which exits 0 for an unknown flag and keeps running after a bad FLANNELD_* value.
 */
export function parseCommandLine(argv: readonly string[], env: Environment): CommandLine | HelpRequest {
  const parsed = runCommander(normalizeGoFlags(argv, flagKind));
  if (typeof parsed === 'string') return { command: 'help', text: parsed };
  refuseMisplaced(parsed);
  const given = addEnvironment(parsed.given, env);
  const command = boolean(given, 'version') ? 'version' : parsed.command;
  const options = readOptions(given);
  const unnamed = command === 'run' && isStoreUnnamed(given) ? [NO_STORE] : [];
  return {
    command,
    options,
    words: parsed.words,
    warnings: [...ineffective(given), ...misspelledVariables(env), ...unnamed],
  };
}

function flagKind(name: string): 'boolean' | 'value' | undefined {
  if (booleanFlags.has(name) || name === 'help' || name === 'h') return 'boolean';
  return valueFlags.has(name) ? 'value' : undefined;
}

interface Parsed {
  readonly command: SubCommand;
  readonly words: readonly string[];
  readonly given: GivenFlags;
}

/** Refuses `--json` without a command, or `withdraw --dry-run`: ignoring the flag would do something else than the user expects. */
function refuseMisplaced({ command, given }: Parsed): void {
  for (const name of subCommandFlags) {
    const flag = given.get(name);
    if (flag === undefined || readersOf(name).some((reader) => reader === command)) continue;
    const where = command === 'run' ? 'needs a command' : `is not a flag of ${command}`;
    throw new UsageError(`${flag.label} ${where}, expected flanneld ${named(readersOf(name))}`);
  }
}

/** Leaves out commands of two words (`doctor path`), because the first word stands for them. */
function named(commands: readonly SubCommand[]): string {
  return commands.filter((name) => !name.includes(' ')).join(' or ');
}

function readersOf(flag: string): SubCommand[] {
  return subCommands.filter(({ flags }) => flags.includes(flag)).map(({ name }) => name);
}

/** Lets commander match words against flags and commands; returns the help text as a string when it was asked for. */
function runCommander(words: readonly string[]): Parsed | string {
  if (words.some((word) => /^--?(help|h)=true$/.test(word))) return helpText(words);
  let command: SubCommand = 'run';
  let following: readonly string[] = [];
  const program = buildProgram((chosen, given) => {
    command = chosen;
    following = given;
  });
  try {
    program.parse(words, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) throw new UsageError(usageText(error, words));
    throw error;
  }
  const given = new Map<string, FlagTexts>();
  for (const option of program.options) {
    const texts: unknown = program.getOptionValue(option.attributeName());
    if (Array.isArray(texts)) given.set(option.name(), { texts, label: `--${option.name()}` });
  }
  return { command, words: following, given };
}

type Choose = (command: SubCommand, words: readonly string[]) => void;

function buildProgram(choose: Choose): Command {
  const program = newCommand('flanneld').description(description).usage('[command] [flags]').helpCommand(false);
  for (const spec of flagTable) program.addOption(optionOf(spec));
  program.action(() => choose('run', []));
  for (const { name, summary, words = [] } of subCommands) {
    // `doctor path` is a command of `doctor`.
    const parent = program.commands.find((command) => name.startsWith(`${command.name()} `));
    const command = (parent ?? program).command(name.slice(name.lastIndexOf(' ') + 1)).description(summary);
    for (const word of words) command.argument(word.startsWith('[') ? word : `<${word}>`);
    command.action((...given: unknown[]) =>
      choose(
        name,
        given.flat().filter((one) => typeof one === 'string'),
      ),
    );
  }
  return program;
}

function newCommand(name: string): Command {
  return new Command(name)
    .helpOption('-h, --help', 'show this text')
    .exitOverride()
    .configureOutput({ writeOut: () => undefined, writeErr: () => undefined });
}

function optionOf({ name, value, help, default: standard }: FlagSpec): Option {
  const text = standard === undefined ? help : `${help} (${standard})`;
  const option = new Option(value === undefined ? `--${name} [=true|false]` : `--${name} <${value}>`, text);
  return option.argParser((text, earlier: string[] | undefined) => [...(earlier ?? []), text]);
}

/** The help of the first sub-command named, with the flags it reads; without a sub-command the agent's help. */
function helpText(words: readonly string[]): string {
  const named = subCommands.filter(({ name }) => name.split(' ').every((part) => words.includes(part)));
  const asked = named.find(({ name }) => name.includes(' ')) ?? named[0];
  if (asked === undefined) return buildProgram(() => undefined).helpInformation();
  const command = newCommand(`flanneld ${asked.name}`).description(asked.summary);
  command.usage(['', ...(asked.words ?? []), '[flags]'].join(' ').trim());
  for (const spec of flagTable) if (asked.flags.includes(spec.name)) command.addOption(optionOf(spec));
  return command.helpInformation();
}

function usageText(error: CommanderError, words: readonly string[]): string {
  if (error.code !== 'commander.excessArguments')
    return error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
  const [first, second] = words.filter((candidate) => !candidate.startsWith('--'));
  const names = subCommands.map(({ name }) => name).filter((name) => !name.includes(' '));
  const longer = subCommands.find(({ name }) => name === `${first} ${second}`);
  if (longer !== undefined) return `${longer.name} takes ${(longer.words ?? []).join(' ')}, got more`;
  const command = names.find((name) => name === first);
  const word = command === undefined ? first : second;
  if (word === undefined) return 'expected one command at most';
  const quoted = JSON.stringify(word.slice(0, 64));
  if (/^(true|false|0|1)$/i.test(word)) return `unexpected ${word}: a boolean is written --flag=${word}`;
  if (command !== undefined) return `${command} takes no argument, got ${quoted}`;
  const meant = closest(word, names);
  return `unknown command ${quoted}, expected ${
    meant === undefined ? `none or one of ${names.join(', ')}` : `one such as ${meant}`
  }`;
}

/** A variable is used when it is not empty and its flag was not given. It gives one value, even for a repeatable flag. */
function addEnvironment(given: GivenFlags, env: Environment): GivenFlags {
  const all = new Map(given);
  for (const { name } of flagTable) {
    const label = variableOf(name);
    const value = env[label];
    if (value && !all.has(name)) all.set(name, { texts: [value], label });
  }
  const nodeName = env['NODE_NAME'];
  if (nodeName && !all.has('node-name')) all.set('node-name', { texts: [nodeName], label: 'NODE_NAME' });
  return all;
}

function variableOf(flag: string): string {
  return `FLANNELD_${flag.toUpperCase().replaceAll('-', '_')}`;
}

function ineffective(given: GivenFlags): string[] {
  return [...ineffectiveFlags].flatMap(([name, why]) => {
    const flag = given.get(name);
    return flag === undefined ? [] : [`${flag.label} has no effect: ${why}`];
  });
}

/** Warns only of names close to a flag's: Kubernetes itself sets FLANNELD_… variables where a Service is called flanneld. */
function misspelledVariables(env: Environment): string[] {
  const known = flagTable.map(({ name }) => variableOf(name));
  const warnings: string[] = [];
  for (const name of Object.keys(env)) {
    if (!name.startsWith('FLANNELD_') || known.includes(name)) continue;
    const meant = closest(
      name.slice('FLANNELD_'.length),
      known.map((variable) => variable.slice('FLANNELD_'.length)),
    );
    if (meant !== undefined) warnings.push(`${name} has no effect (did you mean FLANNELD_${meant}?)`);
  }
  return warnings;
}
