import { describe, expect, test } from 'vitest';
import { parseCniArgs } from './args.ts';

describe('parseCniArgs', () => {
  test.for([
    { text: '', want: {} },
    { text: 'IP=10.1.2.3', want: { IP: '10.1.2.3' } },
    { text: 'IP=', want: { IP: '' } },
    { text: 'FOO=1;IgnoreUnknown=true;IP=10.1.2.3', want: { IP: '10.1.2.3' } },
    { text: 'IgnoreUnknown=TRUE;K8S_POD_NAME=a', want: {} },
    { text: 'IgnoreUnknown=0', want: {} },
  ])('reads $text', ({ text, want }) => {
    expect(Object.fromEntries(parseCniArgs(text, ['IP']))).toEqual(want);
  });

  test.for([
    { text: 'FOO=1', want: 'ARGS: unknown args ["FOO=1"]' },
    { text: 'FOO=1;ip=2', want: 'ARGS: unknown args ["FOO=1" "ip=2"]' },
    { text: 'FOO=1;IgnoreUnknown=false', want: 'ARGS: unknown args ["FOO=1"]' },
    { text: 'IgnoreUnknown=1;', want: 'ARGS: invalid pair ""' },
    { text: 'IgnoreUnknown=1;A=b=c', want: 'ARGS: invalid pair "A=b=c"' },
    { text: 'IP', want: 'ARGS: invalid pair "IP"' },
    {
      text: 'IgnoreUnknown=yes',
      want: 'ARGS: expected 1, true, 0 or false in "IgnoreUnknown=yes"',
    },
  ])('refuses $text', ({ text, want }) => {
    expect(() => parseCniArgs(text, ['IP'])).toThrow(expect.objectContaining({ code: 999, message: want }));
  });
});
