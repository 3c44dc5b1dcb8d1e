// Sets V8's flags, so the loader imports it before everything else. They suit a process that works for a second when thousands of leases
// arrive and is then idle for days. bench/README.md says what each saves on Node 20, 22 and 24. The first lines of dist/flanneld
// (scripts/build.mjs) set another one, the size of the heap before the first collection, which cannot be changed later.

import { setFlagsFromString } from 'node:v8';

// Without this the space for young objects grows to 32 MB in that second and never shrinks again.
setFlagsFromString('--semi-space-growth-factor=1');
const isOld = Number.parseInt(process.versions.v8, 10) < 12;
// In one second the optimizing compiler costs more time than its code saves, and 10 MB. So a function is optimized only
// after it has run 90 times as long as V8 usually waits.
// V8 12, of Node 22, no longer has this flag, and would print an error.
if (isOld) setFlagsFromString('--interrupt-budget=6000000');
// Eight seconds after heap.ts has collected the garbage of the start, V8 would go through the whole heap twice more, which frees 1 MB
// and costs 40 ms. V8 13, of Node 24, gives much more memory back only then. V8 11 reads `--no-memory-reducer` only when it starts,
// before this file, but it reads the eight seconds each time. So they become 24 days here.
if (isOld) setFlagsFromString('--gc-memory-reducer-start-delay-ms=2147483647');
