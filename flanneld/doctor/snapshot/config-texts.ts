// Configuration and state of the agent and of the CNI plugins. Files of others are included only when they are JSON, without the values of
// secret keys; other files only by name, because many nodes keep a kubeconfig in the CNI folder.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isSecretName, LEFT_OUT, scrubArgv, scrubJson } from '../../../lib/redact.ts';
import { readForeignText } from '../../../lib/sys/foreign-file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { Options } from '../../cli/options.ts';
import { fetchLeases } from '../../health/status/client.ts';
import { agentsInDetail } from '../view/agent-facts.ts';
import type { Sources } from './sources.ts';

const MAX_BYTES = 256 * 1024;
const CNI_CONFIG = /\.(conf|conflist|json)$/;

export function agentTexts(subnetFile: string): Sources {
  return [
    ['agent.json', () => JSON.stringify(agentsInDetail().map(describe), null, 2)],
    ['leases.json', async () => orNoJson(scrubJson(await fetchLeases(subnetFile)))],
  ];
}

function describe({ pid, argv, env, state }: ReturnType<typeof agentsInDetail>[number]): object {
  const variables = Object.entries(env).map(([name, value]) => [name, isSecretName(name) ? LEFT_OUT : value]);
  return { pid, state, argv: scrubArgv(argv), env: Object.fromEntries(variables) };
}

export function configTexts(sys: Syscalls, options: Options): Sources {
  const { netConfigPath, subnetFile, cniConf, cniConfDir, cniBinDir, cniStateDir } = options;
  const json = (path: string): string => orNoJson(scrubJson(readText(sys, path)));
  return [
    ['net-conf.json', () => json(netConfigPath)],
    ['subnet.env', () => readText(sys, subnetFile)],
    ...(cniConf === undefined ? [] : [['cni/wanted.conflist', () => json(cniConf)] as const]),
    ['cni/config-folder.txt', () => listFolder(cniConfDir)],
    ['cni/configs.txt', () => configs(sys, cniConfDir)],
    ['cni/executables.txt', () => listFolder(cniBinDir ?? '/opt/cni/bin')],
    ['cni/addresses.txt', () => addresses(join(cniStateDir, 'networks'))],
  ];
}

/** Each configuration that the runtime may read, without secrets. */
function configs(sys: Syscalls, folder: string): string {
  const names = readdirSync(folder).filter((name) => CNI_CONFIG.test(name));
  return names
    .sort()
    .map((name) => `==> ${name}\n${orNoJson(scrubJson(readText(sys, join(folder, name))))}\n`)
    .join('');
}

/** Names, sizes and modes; no contents. */
function listFolder(folder: string): string {
  return readdirSync(folder)
    .sort()
    .map((name) => `${describeFile(join(folder, name))} ${name}\n`)
    .join('');
}

function describeFile(path: string): string {
  try {
    const { mode, size, mtime } = statSync(path);
    return `${mode.toString(8)} ${size} ${mtime.toISOString()}`;
  } catch {
    return 'unreadable';
  }
}

/** Which addresses are reserved for pods, but not for which pods. */
function addresses(folder: string): string {
  return readdirSync(folder)
    .sort()
    .map((network) => {
      const names = readdirSync(join(folder, network)).sort();
      return `==> ${network}: ${names.length} files\n${names.join('\n')}\n`;
    })
    .join('');
}

function readText(sys: Syscalls, path: string): string {
  const read = readForeignText(sys, path, MAX_BYTES);
  if (read === undefined) throw new Error(`${path}: not there`);
  if (read === 'unreadable') throw new Error(`${path}: no text`);
  return read.text;
}

function orNoJson(text: string | undefined): string {
  return text ?? 'no JSON, left out\n';
}
