// `node scripts/function-order.mjs`: which of the engine's and the host's functions an ADD runs, for the linker to lay
// together (cni-plugin/host-order.ld). They are a third of the code; spread among the rest they take as many pages and
// cache lines again. Valgrind's callgrind sees them; only this script needs it, the list is kept. A function that is
// not listed, or is no more, costs a little time and nothing else.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildExecutable } from './build-executable.mjs';
import { runOperations } from './heap-profile.mjs';

const repository = fileURLToPath(new URL('..', import.meta.url));
const outFile = join(repository, 'cni-plugin/host-order.ld');
const CALLGRIND = 'valgrind --quiet --tool=callgrind --dump-instr=yes --compress-pos=no';

/** Where each function lies, by the linker's map: ` .text.NAME 0xADDRESS 0xBYTES FILE`, the name perhaps on a line before. */
function functionsIn(map) {
  const linked = map.slice(map.indexOf('Linker script and memory map'));
  const found = [...linked.matchAll(/^ \.text\.(\S+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) /gm)];
  return found.map(([, name, address, bytes]) => ({ name, from: parseInt(address, 16), bytes: parseInt(bytes, 16) }));
}

/** The addresses of the instructions that ran: callgrind's lines `0xADDRESS LINE COST`. */
function addressesIn(profile) {
  return [...profile.matchAll(/^0x([0-9a-f]+) \d+ \d+$/gm)].map(([, address]) => parseInt(address, 16));
}

/** The names without what the compiler appends to parts and copies of a function, which differs between compilers. */
function usedNames(functions, addresses) {
  const used = functions.filter(({ from, bytes }) => addresses.some((at) => at >= from && at < from + bytes));
  return [...new Set(used.map(({ name }) => name.replace(/\.(constprop|isra|part|cold)\b.*$/, '')))].sort();
}

function linkerScript(names) {
  const sections = names.map((name) => `    *(.text.${name} .text.${name}.*)\n`).join('');
  return `/* The functions an ADD runs, in one piece: made by scripts/function-order.mjs. */
SECTIONS {
  .text.used : {
${sections}  }
} INSERT BEFORE .text;
`;
}

const folder = await mkdtemp(join(tmpdir(), 'weft-order-'));
try {
  const map = join(folder, 'map');
  await buildExecutable(join(repository, 'cni-plugin/main.ts'), join(folder, 'flannel'), { profile: true, map });
  const call = `case $1 in ADD-2) ${CALLGRIND} --callgrind-out-file="$PWD/profile" ./flannel ;; *) ./flannel ;; esac`;
  await runOperations(folder, call, ['run ADD 1', 'run ADD 2']);
  const [functions, addresses] = [
    functionsIn(await readFile(map, 'utf8')),
    addressesIn(await readFile(join(folder, 'profile'), 'utf8')),
  ];
  const names = usedNames(functions, addresses);
  await writeFile(outFile, linkerScript(names));
  process.stdout.write(`${outFile}: ${names.length} of ${functions.length} functions\n`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
