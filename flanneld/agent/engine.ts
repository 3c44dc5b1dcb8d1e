// Imported first of all, for what it does: how the engine runs the agent, which works for a second when thousands of
// leases come and then idles for days. Flags of V8 11.3; a version without one ignores it.

import { setFlagsFromString } from 'node:v8';

// The space for young objects would grow to 32 MB in that second, and never shrink again.
setFlagsFromString('--semi-space-growth-factor=1');
// The optimizing compiler would take more time and 10 MB for that second than its code gives back: only what stays hot
// (90 times the usual budget) is worth it.
setFlagsFromString('--interrupt-budget=6000000');
