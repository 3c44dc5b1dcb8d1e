import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { needs } from '../../test/support/needs.ts';
import * as errno from './errno.ts';
import { errnoName } from './errno.ts';
import { type Arch, syscallNumbers } from './numbers.ts';

const HEADERS: Record<Arch, string> = {
  x64: '/usr/include/x86_64-linux-gnu/asm/unistd_64.h',
  arm64: '/usr/include/asm-generic/unistd.h',
};

test.for(['x64', 'arm64'] as const)('%s system call numbers are those of the kernel’s header', (arch) => {
  const header = HEADERS[arch];
  needs.machine(existsSync(header), `${header} (Debian's linux-libc-dev on an amd64 machine)`);
  const defined = new Map<string, number>();
  for (const line of readFileSync(header, 'utf8').split('\n')) {
    const match = /^#define __NR(?:3264)?_(\w+)\s+(\d+)\b/.exec(line);
    if (match?.[1] !== undefined) defined.set(match[1], Number(match[2]));
  }
  for (const [name, number] of Object.entries(syscallNumbers(arch))) {
    expect([name, defined.get(name)]).toEqual([name, number]);
  }
});

test('every errno constant has its own name', () => {
  for (const [name, value] of Object.entries(errno)) {
    if (typeof value === 'number') expect(errnoName(value)).toBe(name);
  }
});

test('names an errno of either sign, and one without a name by its number', () => {
  expect(errnoName(-2)).toBe('ENOENT');
  expect(errnoName(41)).toBe('E41');
  expect(errnoName(5000)).toBe('E5000');
});
