// `npm run bench -- QUESTION`: one file a question, each prints its answer as a table.

import { benchCni } from './cni.ts';
import { type BenchOptions, parseBenchArgs } from './options.ts';
import { benchPacket } from './packet.ts';
import { benchPeers } from './peers.ts';
import { benchStart } from './start.ts';

/** Prints an answer; false when a limit was not kept. */
type Question = (options: BenchOptions) => boolean | Promise<boolean>;

const questions: Readonly<Record<string, Question>> = {
  start: benchStart,
  cni: benchCni,
  packet: benchPacket,
  peers: benchPeers,
};

async function main(argv: string[]): Promise<boolean> {
  const { name, options } = parseBenchArgs(argv, process.cwd());
  const question = questions[name];
  if (question === undefined) {
    const usage = '[--runs N] [--quick] [--peer DIR] [--json FILE] [--verbose]';
    throw new Error(`usage: npm run bench -- ${Object.keys(questions).join('|')} ${usage}`);
  }
  return await question(options);
}

main(process.argv.slice(2)).then(
  (kept) => {
    process.exitCode = kept ? 0 : 1;
  },
  (error: unknown) => {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  },
);
