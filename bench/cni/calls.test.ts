import { expect, test } from 'vitest';
import { countCalls, differentCounts } from './calls.ts';

const TRACE = `28473 execve("/x/flannel", ["/x/flannel"], 0x7ffc /* 6 vars */) = 0
28473 sendto(4, [[{nlmsg_len=168, nlmsg_type=RTM_NEWLINK, nlmsg_flags=0}, {x}], [{nlmsg_len=88, nlmsg_type=RTM_NEWLINK}, {}]], 256, 0) = 256
28473 recvfrom(4, [{nlmsg_len=36, nlmsg_type=NLMSG_ERROR, nlmsg_seq=4}], 16384) = 36
28473 clone(child_stack=NULL, flags=SIGCHLD) = 28474
28474 close(0 <unfinished ...>
28473 ppoll([{fd=5, events=POLLIN}], 1, NULL, NULL, 0 <unfinished ...>
28474 <... close resumed>) = 0
28473 <... ppoll resumed>) = 1
28473 +++ exited with 0 +++
`;

test('counts each call once, also one split in two lines of the trace, and each message that was sent', () => {
  expect(Object.fromEntries(countCalls(TRACE))).toEqual({
    execve: 1,
    sendto: 1,
    'sends RTM_NEWLINK': 2,
    recvfrom: 1,
    clone: 1,
    close: 1,
    ppoll: 1,
  });
});

test('only differences are printed', () => {
  const a = new Map([
    ['read', 2],
    ['mmap', 2],
  ]);
  const b = new Map([
    ['read', 2],
    ['close', 1],
  ]);
  expect(differentCounts(a, b)).toEqual([
    ['close', '0', '1'],
    ['mmap', '2', '0'],
  ]);
});
