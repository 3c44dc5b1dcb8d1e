// `flanneld snapshot`: the state of this node for an issue report, as a JSON object of named texts. It only reads and changes nothing. No
// folder is included as a whole, and secret values are left out (lib/redact.ts).

import { setTimeout as pause } from 'node:timers/promises';
import { errorText } from '../../../lib/errors.ts';
import { openNetlink } from '../../../lib/netlink/connection.ts';
import { printableJson } from '../../../lib/printable.ts';
import { scrub } from '../../../lib/redact.ts';
import { openKoffiSyscalls } from '../../../lib/sys/koffi.ts';
import type { Options } from '../../cli/options.ts';
import { agentTexts, configTexts } from './config-texts.ts';
import { kernelTexts } from './kernel-texts.ts';
import { procTexts, programTexts } from './machine-texts.ts';
import type { Source, Sources } from './sources.ts';

const MAX_CHARACTERS = 4 * 1024 * 1024;
/** Counters are read twice, because only their growth shows what happens now. */
const BETWEEN_MS = 2000;

/** Always resolves to exit code 0: the snapshot itself says what could not be read. */
export async function snapshot(options: Options, write: (text: string) => void): Promise<number> {
  const sys = openKoffiSyscalls();
  const counters = procTexts();
  const before = await readAll(counters.map(([name, source]) => [`${name}.before`, source]));
  const sources = [
    ...agentTexts(options.subnetFile),
    ...configTexts(sys, options),
    ...kernelTexts(openNetlink(sys)),
    ...programTexts(),
  ];
  const texts = await readAll(sources);
  await pause(BETWEEN_MS);
  const after = await readAll(counters.map(([name, source]) => [`${name}.after`, source]));
  const files = Object.fromEntries([...texts, ...before, ...after]);
  write(`${printableJson(JSON.stringify({ files }))}\n`);
  return 0;
}

/** One after the other: a diagnosis must not put load on a node that is in trouble. */
async function readAll(sources: Sources): Promise<[string, string][]> {
  const texts: [string, string][] = [];
  for (const [name, source] of sources) texts.push([name, await readOne(source)]);
  return texts;
}

async function readOne(source: Source): Promise<string> {
  try {
    return limited(scrub(await source()));
  } catch (error) {
    return `not read: ${scrub(errorText(error))}\n`;
  }
}

function limited(text: string): string {
  if (text.length <= MAX_CHARACTERS) return text;
  return `${text.slice(0, MAX_CHARACTERS)}\n… cut off: ${text.length} characters\n`;
}
