// The size limits of a bundle, and the file in it that lists what it contains and what it lacks.

import type { ArchiveFile } from './tar.ts';

const MAX_FILE = 4 * 1024 * 1024;
const MAX_ALL = 64 * 1024 * 1024;

export interface Limited {
  readonly kept: readonly ArchiveFile[];
  /** One line for each file that was shortened or left out. */
  readonly cut: readonly string[];
}

/** Shortens long files, and leaves out the last ones when all together are too long. Counts characters, which are nearly always octets. */
export function limitFiles(files: readonly ArchiveFile[], maxFile = MAX_FILE, maxAll = MAX_ALL): Limited {
  const kept: ArchiveFile[] = [];
  const cut: string[] = [];
  let total = 0;
  for (const { name, text } of files) {
    const short = text.slice(0, maxFile);
    if (total + short.length > maxAll) {
      cut.push(`${name}: left out, ${text.length} characters`);
      continue;
    }
    if (short.length < text.length) cut.push(`${name}: cut off, ${maxFile} of ${text.length} characters`);
    total += short.length;
    kept.push({ name, text: short });
  }
  return { kept, cut };
}

export interface BundleFacts {
  readonly made: Date;
  readonly version: string;
  readonly nodes: number;
  /** Names of the nodes that have kernel objects and a log in the bundle. */
  readonly detailed: readonly string[];
  readonly silent: readonly string[];
  readonly cut: readonly string[];
  readonly files: readonly ArchiveFile[];
}

export function readme({ made, version, nodes, detailed, silent, cut, files }: BundleFacts): string {
  const section = (title: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : ['', title, ...lines.map((line) => `  ${line}`)];
  return [
    `Made by kubectl weft ${version} on ${made.toISOString()}, of ${nodes} nodes.`,
    '',
    'It has addresses, MACs and names of nodes. It has no kubeconfig, token, password, private or pre-shared key, no variable of',
    'the environment but the agent’s own, no annotation or label but those named in it, and no name of a pod but the agents’.',
    'Where something was left out of a text, it says (left out). Read everything before you pass it on.',
    ...section('In detail', detailed),
    ...section('Did not answer', silent),
    ...section('Cut', cut),
    ...section(
      'Files',
      files.map(({ name, text }) => `${name} (${text.length})`),
    ),
    '',
  ].join('\n');
}
