// The keys of the extension backend in net-conf.json: the administrator's commands.

import { type CommandLine, type CommandVariables, parseCommand } from '../../../lib/command-line.ts';
import { ConfigError, errorText } from '../../../lib/errors.ts';
import { type JsonPlace, readString } from '../../../lib/json-fields.ts';
import type { KeyDoc } from '../../../lib/key-doc.ts';

/** A command is undefined when its key is absent or empty. */
export interface ExtensionConf {
  readonly preStartup: CommandLine | undefined;
  readonly postStartup: CommandLine | undefined;
  readonly subnetAdd: CommandLine | undefined;
  readonly subnetRemove: CommandLine | undefined;
  /** Runs when the agent is told to stop. flannel does not have this key. */
  readonly shutdown: CommandLine | undefined;
}

export const extensionKeys = {
  PreStartupCommand: {
    type: 'string',
    help: 'command that is run before the lease is taken; its output becomes the lease’s data',
  },
  PostStartupCommand: { type: 'string', help: 'command that is run when the lease is taken' },
  SubnetAddCommand: {
    type: 'string',
    help: "command that is run for each peer's subnet; the data of that peer’s lease is its input",
  },
  SubnetRemoveCommand: { type: 'string', help: 'command that is run when a peer has gone' },
  ShutdownCommand: {
    type: 'string',
    help: 'command that is run when the agent is told to stop; flannel does not know this key',
  },
} as const satisfies Readonly<Record<string, KeyDoc>>;

/** The variables that each command may use as `$NAME`. */
const VARIABLES: Readonly<Record<keyof typeof extensionKeys, CommandVariables>> = {
  PreStartupCommand: [],
  PostStartupCommand: ['NETWORK', 'SUBNET', 'IPV6NETWORK', 'IPV6SUBNET', 'PUBLIC_IP', 'PUBLIC_IPV6'],
  SubnetAddCommand: ['SUBNET', 'IPV6SUBNET', 'PUBLIC_IP', 'PUBLIC_IPV6'],
  SubnetRemoveCommand: ['SUBNET', 'IPV6SUBNET', 'PUBLIC_IP', 'PUBLIC_IPV6'],
  ShutdownCommand: ['NETWORK', 'SUBNET', 'IPV6NETWORK', 'IPV6SUBNET', 'PUBLIC_IP', 'PUBLIC_IPV6'],
};

/** Throws ConfigError. */
export function readExtensionKeys(place: JsonPlace): ExtensionConf {
  const command = (key: keyof typeof extensionKeys): CommandLine | undefined => {
    const text = readString(place, key);
    if (text === undefined || text.trim() === '') return undefined;
    try {
      return parseCommand(text, VARIABLES[key]);
    } catch (error) {
      throw new ConfigError(place.source, `${place.path}.${key}`, errorText(error));
    }
  };
  return {
    preStartup: command('PreStartupCommand'),
    postStartup: command('PostStartupCommand'),
    subnetAdd: command('SubnetAddCommand'),
    subnetRemove: command('SubnetRemoveCommand'),
    shutdown: command('ShutdownCommand'),
  };
}
