// The command line: flannel's Go flags and FLANNELD_* variables, and sub-commands. Pure: it is given argv and the
// environment, and returns what to do or throws a UsageError.

import { Command, CommanderError, Option } from 'commander';
import { closest } from '../../lib/closest.ts';
import { flagTable, ineffectiveFlags } from './flag-table.ts';
import { normalizeGoFlags, UsageError } from './go-flags.ts';
import type { FlagTexts, GivenFlags, Options } from './options.ts';
import { boolean, readOptions } from './options.ts';

export type SubCommand = 'run' | 'withdraw' | 'cleanup' | 'gc' | 'status' | 'version';
export type Environment = Readonly<Record<string, string | undefined>>;

export interface CommandLine {
  readonly command: SubCommand;
  readonly options: Options;
  /** One line each, for the log. */
  readonly warnings: readonly string[];
}

/** The user asked for help: print `text` on stdout and exit 0. */
export interface HelpRequest {
  readonly command: 'help';
  readonly text: string;
}

const commands: readonly (readonly [SubCommand, string])[] = [
  ['withdraw', 'take the CNI configuration away: no new pods on this node until flanneld is ready again'],
  ['cleanup', 'remove everything of Weft from this node; stop the agent first'],
  ['gc', 'free addresses, saved configurations and veths of pods that are provably gone; says what is kept, and why'],
  ['status', 'show what the running agent knows: lease, device, peers, problems, repairs; exits 0 when ready'],
  ['version', 'print the version'],
];
const description = `Weft's agent, one a node. Without a command it runs until SIGTERM.
Every flag may also be given as FLANNELD_<FLAG>, e.g. FLANNELD_PUBLIC_IP=10.0.0.1.`;
const booleanFlags = new Set(flagTable.filter((spec) => spec.value === undefined).map((spec) => spec.name));
const valueFlags = new Set(flagTable.filter((spec) => spec.value !== undefined).map((spec) => spec.name));

/**
 * Reads argv (without node and script) and the environment. Throws UsageError: exit code 2.
 * Differs from flannel (D1), which exits 0 for a flag it does not know, and runs on after a bad FLANNELD_* value.
 */
export function parseCommandLine(argv: readonly string[], env: Environment): CommandLine | HelpRequest {
  const parsed = runCommander(normalizeGoFlags(argv, flagKind));
  if (typeof parsed === 'string') return { command: 'help', text: parsed };
  const given = addEnvironment(parsed.given, env);
  const command = boolean(given, 'version') ? 'version' : parsed.command;
  const options = readOptions(given);
  return { command, options, warnings: [...ineffective(given), ...misspelledVariables(env)] };
}

function flagKind(name: string): 'boolean' | 'value' | undefined {
  if (booleanFlags.has(name) || name === 'help' || name === 'h') return 'boolean';
  return valueFlags.has(name) ? 'value' : undefined;
}

interface Parsed {
  readonly command: SubCommand;
  readonly given: GivenFlags;
}

/** Lets commander match words against flags and commands; a string is the help text that was asked for. */
function runCommander(words: readonly string[]): Parsed | string {
  if (words.some((word) => /^--?(help|h)=true$/.test(word))) return buildProgram(() => undefined).helpInformation();
  let command: SubCommand = 'run';
  const program = buildProgram((chosen) => {
    command = chosen;
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
  return { command, given };
}

function buildProgram(choose: (command: SubCommand) => void): Command {
  const program = new Command('flanneld')
    .description(description)
    .usage('[command] [flags]')
    .helpOption('-h, --help', 'show this text')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ writeOut: () => undefined, writeErr: () => undefined });
  for (const { name, value, help, default: standard } of flagTable) {
    const text = standard === undefined ? help : `${help} (${standard})`;
    const option = new Option(value === undefined ? `--${name} [=true|false]` : `--${name} <${value}>`, text);
    program.addOption(option.argParser((text, earlier: string[] | undefined) => [...(earlier ?? []), text]));
  }
  program.action(() => choose('run'));
  for (const [name, summary] of commands) {
    program
      .command(name)
      .description(summary)
      .action(() => choose(name));
  }
  return program;
}

function usageText(error: CommanderError, words: readonly string[]): string {
  if (error.code !== 'commander.excessArguments')
    return error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
  const names = commands.map(([name]) => name);
  const word = words.filter((candidate) => !candidate.startsWith('--')).find((name) => !names.some((n) => n === name));
  if (word === undefined) return 'expected one command at most';
  if (/^(true|false|0|1)$/i.test(word)) return `unexpected ${word}: a boolean is written --flag=${word}`;
  const meant = closest(word, names);
  return `unknown command ${JSON.stringify(word.slice(0, 64))}, expected ${
    meant === undefined ? `none or one of ${names.join(', ')}` : `one such as ${meant}`
  }`;
}

/** A variable counts when its flag was not given and it is not empty; it is one text, also for a repeatable flag. */
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

/** Only near misses: Kubernetes itself sets FLANNELD_… variables where a Service is called flanneld. */
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
