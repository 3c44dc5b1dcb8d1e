// What `npm start` does after the build, for a machine on which building takes minutes: two nodes with a pod each, and which of them reach
// each other.
import { createProgress } from '../progress.mjs';

const { runDemo } = await import(new URL('../../dist/lab/demo.mjs', import.meta.url));
// It cannot be interrupted here, so every step ends by itself.
process.exitCode = await runDemo(
  { nodes: 2, pods: 1, keep: false, name: 'kernels' },
  createProgress((work) => work),
);
