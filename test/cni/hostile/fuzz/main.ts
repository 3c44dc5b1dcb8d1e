// Gives the parsers of the CNI executable inputs that nobody should send, on its own engine in the sanitizer build: a reader that leaves
// its memory ends the program. Arguments: a seed, the number of inputs. Prints what was tried and what was found.

import { errorText } from '../../../../lib/errors.ts';
import { hostArgs, openHostSyscalls, type ProgramOutput } from '../../../../lib/sys/host.ts';
import type { Syscalls } from '../../../../lib/sys/syscalls.ts';
import { makeRandom } from '../random.ts';
import { netlinkTargets } from './netlink-targets.ts';
import { plantedTargets } from './planted-targets.ts';
import type { Target } from './target.ts';
import { textTargets } from './text-targets.ts';

const MAX_FINDINGS = 20;

export function main(): ProgramOutput {
  const [, seed = '1', count = '1000', only = ''] = hostArgs();
  const sys = openHostSyscalls();
  const all = only.startsWith('planted') ? plantedTargets(sys) : allTargets(sys);
  const targets = all.filter(({ name }) => name.includes(only));
  const findings: string[] = [];
  for (let number = 0; number < Number(count) && findings.length < MAX_FINDINGS; number++) {
    const target = targets[number % targets.length];
    if (target === undefined) break;
    try {
      target.once(makeRandom(Math.imul(Number(seed), 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca6b)));
    } catch (thrown) {
      findings.push(`seed ${seed}, input ${number}, ${target.name}: ${errorText(thrown)}`);
    }
  }
  const names = targets.map(({ name }) => name);
  return { code: 0, stdout: JSON.stringify({ targets: names, tried: Number(count), findings }) };
}

function allTargets(sys: Syscalls): readonly Target[] {
  return [...textTargets(sys), ...netlinkTargets(sys)];
}
