// Loaded into the built agent by NODE_OPTIONS=--require: SIGUSR2 has it run the program in FAULT_FILE, which is how faults
// come in from outside. `syscallFault` may answer any of its system calls with an errno: (number) => errno or 0.
const fs = require('node:fs');

const { refuse, wrapSyscalls } = require('./wrapped-syscalls.cjs');

const hook = { syscallFault: () => 0 };

wrapSyscalls(({ real }, ...values) => {
  const errno = hook.syscallFault(values[0]);
  return errno === 0 ? real(...values) : refuse(errno);
});

process.on('SIGUSR2', () => {
  const program = fs.readFileSync(process.env.FAULT_FILE, 'utf8');
  fs.rmSync(process.env.FAULT_FILE);
  new Function('require', 'hook', program)(require, hook);
});
