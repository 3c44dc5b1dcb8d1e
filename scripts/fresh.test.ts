import { expect, test } from 'vitest';
import { parsePackages, withDependencies } from './fresh.mjs';

// As `dpkg-query --show` prints them: name, essential, priority, provides, pre-depends, depends.
const LINES = [
  'bash\tyes\trequired\t\tlibc6 (>= 2.36), libtinfo6 (>= 6)\tbase-files (>= 2.1.12), debianutils (>= 5.6-0.1)',
  'base-files\tyes\trequired\tbase\tawk\t',
  'mawk\tno\trequired\tawk\t\tlibc6 (>= 2.36)',
  'libc6\tno\toptional\t\t\tlibgcc-s1, libcrypt1 (>= 1:4.4.10-10~)',
  'libgcc-s1\tno\toptional\t\t\tgcc-12-base (= 12.2.0-14)',
  'apt\tno\timportant\t\t\tgpgv | gpgv2 | gpgv1, libc6:any',
  'gpgv\tno\timportant\t\t\t',
  'g++\tno\toptional\tc++-compiler\t\tg++-12 (>= 12.2.0-1~)',
  'g++-12\tno\toptional\t\t\tgcc-12-base',
  'gcc-12-base\tno\toptional\t\t\t',
  'curl\tno\toptional\t\t\tlibc6 (>= 2.36)',
  'kubernetes-client\tno\toptional\t\t\tlibc6',
  '',
];

test('a fresh machine has the base system, what set-up installs, and their dependencies', () => {
  const found = withDependencies(parsePackages(LINES.join('\n')), ['g++', 'not-installed']);
  expect([...found].sort()).toEqual([
    ...['apt', 'base-files', 'bash', 'g++', 'g++-12', 'gcc-12-base', 'gpgv', 'libc6', 'libgcc-s1', 'mawk'],
  ]);
});

test('a virtual package stands for the package that provides it', () => {
  const packages = parsePackages(LINES.join('\n'));
  expect(withDependencies(packages, ['c++-compiler']).has('g++-12')).toBe(true);
  expect(withDependencies(packages, []).has('g++-12')).toBe(false);
});
