// Two parsers with the mistakes the others must not have. They run only when asked for by name, to show that a fuzz
// run would tell.

import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { Target } from './target.ts';

export function plantedTargets(sys: Syscalls): readonly Target[] {
  return [
    {
      name: 'planted: trusts a length',
      once: (random) => {
        const bytes = Uint8Array.of(random.below(256), 1, 2, 3);
        new DataView(bytes.buffer).getUint8(bytes[0] ?? 0);
      },
    },
    {
      name: 'planted: keeps memory',
      once: () => {
        const kept = sys.arena.scope(() => sys.arena.alloc(64).bytes());
        kept.fill(1);
      },
    },
  ];
}
