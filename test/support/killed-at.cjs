// Loaded into the built agent by NODE_OPTIONS=--require. Counts the system calls by which the agent changes the fast path: bpf(2) that makes,
// writes, loads, pins or attaches, and the removal of files. Kills the agent before the one whose number is in the file KILL_FILE, and writes
// the count into KILL_FILE.count.
const { existsSync, readFileSync, writeFileSync } = require('node:fs');
const { wrapSyscalls } = require('./wrapped-syscalls.cjs');

const file = process.env.KILL_FILE ?? '';
const [BPF, UNLINKAT] = process.arch === 'arm64' ? [280, 35] : [321, 263];
/** BPF_MAP_CREATE, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM, BPF_PROG_LOAD, BPF_OBJ_PIN, BPF_LINK_CREATE, BPF_LINK_UPDATE. */
const CHANGES = new Set([0, 2, 3, 5, 6, 28, 29]);

let count = 0;

wrapSyscalls(({ real }, nr, ...values) => {
  if ((nr === BPF && CHANGES.has(Number(values[0]))) || nr === UNLINKAT) {
    count += 1;
    writeFileSync(`${file}.count`, String(count));
    if (existsSync(file) && count === Number(readFileSync(file, 'utf8'))) process.kill(process.pid, 'SIGKILL');
  }
  return real(nr, ...values);
});
