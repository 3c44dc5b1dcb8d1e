// Sets V8's flags, so it must be imported before everything else. They suit a process that works for a second when thousands of leases
// arrive and is then idle for days. The names are those of V8 11.3; a version without a flag ignores it. bench/README.md says what each
// saves on Node 20, 22 and 24.

import { setFlagsFromString } from 'node:v8';

// Without this the space for young objects grows to 32 MB in that second and never shrinks again.
setFlagsFromString('--semi-space-growth-factor=1');
// In one second the optimizing compiler costs more time than its code saves, and 10 MB. So a function is optimized only
// after it has run 90 times as long as V8 usually waits.
setFlagsFromString('--interrupt-budget=6000000');
