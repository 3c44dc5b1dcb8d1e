// Loaded into the built agent by NODE_OPTIONS=--require. To the agent the kernel is then one before 6.6, which has no tcx: it refuses to list
// the programs of that hook, so that the agent attaches its programs as filters of clsact.
const { refuse, wrapSyscalls } = require('./wrapped-syscalls.cjs');

const BPF = process.arch === 'arm64' ? 280 : 321;
const BPF_PROG_QUERY = 16;
const EINVAL = 22;

wrapSyscalls(({ real }, nr, ...values) =>
  nr === BPF && Number(values[0]) === BPF_PROG_QUERY ? refuse(EINVAL) : real(nr, ...values),
);
