import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fillIn, parseCommand } from './command-line.ts';

const names = ['SUBNET', 'PUBLIC_IP'];
const values = { SUBNET: '10.244.2.0/24', PUBLIC_IP: '192.168.50.12' };

describe('a command without a shell', () => {
  test.for([
    { name: 'words', text: '/opt/add  now\tplease ', want: ['/opt/add', 'now', 'please'] },
    { name: 'a variable', text: 'add $SUBNET', want: ['add', '10.244.2.0/24'] },
    { name: 'one in braces inside a word', text: `add --to=\${SUBNET}:x`, want: ['add', '--to=10.244.2.0/24:x'] },
    { name: 'two in a word', text: 'add $SUBNET,$PUBLIC_IP', want: ['add', '10.244.2.0/24,192.168.50.12'] },
    {
      name: 'signs that mean nothing to sh',
      text: 'ip -6 a+b %d @f x=1',
      want: ['ip', '-6', 'a+b', '%d', '@f', 'x=1'],
    },
  ])('$name', ({ text, want }) => {
    expect(fillIn(parseCommand(text, names), values)).toEqual(want);
  });

  test.for([
    { name: 'a pipe', text: 'a | b', want: 'got "|" (no shell runs this' },
    { name: 'a quote', text: "ip 'x'", want: `got "'"` },
    { name: 'a list', text: 'a; b', want: 'got ";"' },
    { name: 'a redirection', text: 'a >b', want: 'got ">"' },
    { name: 'a substitution', text: 'a $(b)', want: 'got "$"' },
    { name: 'an old substitution', text: 'a `b`', want: 'got "`"' },
    { name: 'a default', text: `a \${SUBNET:-x}`, want: 'got "$"' },
    { name: 'a line feed', text: 'a\nb', want: 'got "\\n"' },
    { name: 'a glob', text: 'ls *', want: 'got "*"' },
    { name: 'a home', text: '~/x', want: 'got "~"' },
    { name: 'a variable of nobody', text: 'a $HOME', want: 'expected one of $SUBNET, $PUBLIC_IP, got $HOME' },
    { name: 'nothing', text: '  ', want: 'expected a command, got ""' },
  ])('refuses $name', ({ text, want }) => {
    expect(() => parseCommand(text, names)).toThrow(want);
  });

  test('a value stays one argument, whatever it contains', () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        expect(fillIn(parseCommand('run $SUBNET end', names), { SUBNET: value })).toEqual(['run', value, 'end']);
      }),
    );
  });

  test('no word contains a special character of the shell that came from the text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        let argv: readonly string[] = [];
        try {
          argv = fillIn(parseCommand(text, names), { SUBNET: '', PUBLIC_IP: '' });
        } catch {
          return;
        }
        expect(argv.join(' ')).not.toMatch(/[|&;<>()`'"\\*?~#!$\n]/);
        expect(argv.every((word) => !/[ \t]/.test(word))).toBe(true);
      }),
    );
  });
});
