import { describe, expect, test } from 'vitest';
import { missingForKind } from './bench-kind.mjs';

describe('npm run bench -- kind', () => {
  test.for([
    { name: 'all', programs: ['kind', 'podman', 'kubectl'], want: [] },
    {
      name: 'nothing',
      programs: [],
      want: ['no kind in PATH (/bin)', 'no docker or podman in PATH (/bin)', 'no kubectl in PATH (/bin)'],
    },
    { name: 'no runtime', programs: ['kind', 'kubectl'], want: ['no docker or podman in PATH (/bin)'] },
  ])('says what it looked for where there is $name', ({ programs, want }) => {
    expect(missingForKind((name: string) => programs.includes(name), '/bin')).toEqual(want);
  });
});
