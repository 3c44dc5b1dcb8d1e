import { describe, expect, test } from 'vitest';
import { findBridge, missingForKind } from './bench-kind.mjs';

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

  test.for([
    { name: 'in a folder of CNI_PATH first', there: ['/b/bridge', '/usr/lib/cni/bridge'], want: '/b/bridge' },
    { name: 'where Debian has it', there: ['/usr/lib/cni/bridge'], want: '/usr/lib/cni/bridge' },
    { name: 'nowhere', there: ['/usr/lib/cni/portmap'], want: undefined },
  ])('finds the plugin that flannel needs and the nodes lack $name', ({ there, want }) => {
    expect(findBridge('/a:/b', (file: string) => there.includes(file))).toBe(want);
  });
});
