import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { normalizeGoFlags, UsageError } from './go-flags.ts';

const kinds: Record<string, 'boolean' | 'value'> = { iface: 'value', v: 'value', 'ip-masq': 'boolean' };
const kindOf = (name: string) => (Object.hasOwn(kinds, name) ? kinds[name] : undefined);

describe('normalizeGoFlags', () => {
  test.for([
    { name: 'one dash', argv: ['-iface=eth0'], want: ['--iface=eth0'] },
    { name: 'two dashes', argv: ['--iface=eth0'], want: ['--iface=eth0'] },
    { name: 'the value in the next word', argv: ['-iface', 'eth0', '-v', '4'], want: ['--iface=eth0', '--v=4'] },
    { name: 'a value that looks like a flag', argv: ['--iface', '--ip-masq'], want: ['--iface=--ip-masq'] },
    { name: 'an empty value', argv: ['--iface='], want: ['--iface='] },
    { name: 'a value with =', argv: ['--iface=a=b'], want: ['--iface=a=b'] },
    { name: 'a bare boolean', argv: ['--ip-masq'], want: ['--ip-masq=true'] },
    { name: 'a boolean set false', argv: ['-ip-masq=false'], want: ['--ip-masq=false'] },
    {
      name: 'a boolean that does not take the next word',
      argv: ['--ip-masq', 'false'],
      want: ['--ip-masq=true', 'false'],
    },
    { name: 'words and flags mixed', argv: ['status', '--v', '1', '-'], want: ['status', '--v=1', '-'] },
    { name: 'an unknown flag, without its value', argv: ['--ifce=eth0', 'x'], want: ['--ifce', 'x'] },
    { name: 'nothing that follows --', argv: ['--', '-iface=eth0'], want: ['--', '-iface=eth0'] },
    { name: 'a name of Object.prototype as unknown', argv: ['--constructor=1'], want: ['--constructor'] },
  ])('reads $name', ({ argv, want }) => {
    expect(normalizeGoFlags(argv, kindOf)).toEqual(want);
  });

  test.for([
    { argv: ['---iface=eth0'], want: '---iface=eth0: bad flag syntax' },
    { argv: ['-=eth0'], want: '-=eth0: bad flag syntax' },
    { argv: ['--iface'], want: '--iface: expected a value after it' },
  ])('refuses $argv', ({ argv, want }) => {
    expect(() => normalizeGoFlags(argv, kindOf)).toThrow(new UsageError(want));
  });

  test('one dash or two, = or the next word give the same flag', () => {
    const value = fc.string({ minLength: 1 });
    fc.assert(
      fc.property(value, (text) => {
        const forms = [['-iface', text], ['--iface', text], [`-iface=${text}`], [`--iface=${text}`]];
        const results = forms.map((argv) => normalizeGoFlags(argv, kindOf));
        for (const result of results) expect(result).toEqual([`--iface=${text}`]);
      }),
    );
  });
});
