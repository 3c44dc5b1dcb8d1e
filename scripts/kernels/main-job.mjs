// What `npm start` does after it has built, for a machine on which building takes minutes: two nodes with a pod each, and who reaches whom.
import { createProgress } from '../progress.mjs';

const { runDemo } = await import(new URL('../../dist/lab/demo.mjs', import.meta.url));
// Nobody interrupts it here, so every step ends by itself.
process.exitCode = await runDemo(
  { nodes: 2, pods: 1, keep: false, name: 'kernels' },
  createProgress((work) => work),
);
