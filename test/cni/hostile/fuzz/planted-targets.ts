// Two parsers with planted mistakes. They run only when named, to show that a fuzz run finds such mistakes.

import type { Syscalls } from '../../../../lib/sys/syscalls.ts';
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
