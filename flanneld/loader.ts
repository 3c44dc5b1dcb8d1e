// dist/flanneld: runs flanneld-agent.js, which lies beside it, with what V8 had compiled of it when it was built (flanneld-agent.cache).
// To compile all of that at each start would take a fifth of the start's processor time. scripts/agent-cache.mjs makes the cache.

import './agent/engine.ts';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Script } from 'node:vm';

/** The agent's program, as a function of what Node gives to a module. */
type Program = (load: NodeJS.Require, filename: string, folder: string) => void;

const LINE_END = 0x0a;

/**
 * The cache for this program and this Node; undefined when there is none. V8 itself refuses what another version of V8 made, or one with
 * other flags, and then compiles as usual. It does not compare the program's text, nor the processor.
 */
function cacheFor(source: Buffer): Buffer | undefined {
  let file: Buffer;
  try {
    file = readFileSync(join(__dirname, 'flanneld-agent.cache'));
  } catch {
    return undefined;
  }
  const digest = createHash('sha256').update(source).digest('hex');
  const end = file.indexOf(LINE_END);
  const isFor = file.toString('latin1', 0, Math.max(0, end));
  return isFor === `${process.version} ${process.arch} ${digest}` ? file.subarray(end + 1) : undefined;
}

const filename = join(__dirname, 'flanneld-agent.js');
const source = readFileSync(filename);
const cachedData = cacheFor(source);
// The build writes only ASCII. Read as latin1, the text has one byte for each character in memory, too.
const script = new Script(source.toString('latin1'), { filename, ...(cachedData && { cachedData }) });
const program = script.runInThisContext() as Program;
program(require, filename, __dirname);
