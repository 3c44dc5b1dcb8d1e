import { expect, test } from 'vitest';
import { messageFromHex } from '../../test/support/netlink-bytes.ts';
import { readNftablesEvent } from './nftables-events.ts';

test.for([
  { name: 'a table that is new', type: 0x0a00, want: 'table' },
  { name: 'a table that is gone', type: 0x0a02, want: 'table' },
  { name: 'a chain that is new', type: 0x0a03, want: 'chain' },
  { name: 'a chain that is gone', type: 0x0a05, want: 'chain' },
  { name: 'a generation', type: 0x0a0f, want: 'generation' },
  { name: 'a rule', type: 0x0a06, want: undefined },
  { name: 'a set element', type: 0x0a0c, want: undefined },
  { name: 'a table of another subsystem', type: 0x0600, want: undefined },
])('reads $name', ({ type, want }) => {
  expect(readNftablesEvent(messageFromHex(type, '00000000'))).toBe(want);
});
